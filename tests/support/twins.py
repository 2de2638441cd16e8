"""Twins: for each check of the audit, bad databases that it reports, and good ones that differ little and are not.

Each twin is SQL that a superuser runs in a healthy database with a tenant table `scratch.notes`, in a transaction that
is rolled back: roles belong to the whole server. The remediation in a bad twin's finding is run, and must fix it.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import psycopg
import pytest

from db.audit import CHECKS, Finding

DATABASE = "partywall_checks"
ERROR, WARNING = "error", "warning"
SURFACE = {"unexpected", "changed"}  # the checks that know what a release made
OWN = "user_id = app.current_user_id()"
IGNORES_CASE = "create collation scratch.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
NO_ICU = ("select from pg_collation where collname = 'en-x-icu'", "this server was built without ICU")
FROM_18 = (
    "select where current_setting('server_version_num')::int >= 180000",
    "NOT NULL is a constraint since PostgreSQL 18",
)
FROM_17 = ("select where current_setting('server_version_num')::int >= 170000", "MAINTAIN is new in PostgreSQL 17")


class Bad(NamedTuple):
    """What a check reports, and what its finding says."""

    sql: str
    object: str
    level: str = WARNING
    advice: bool = False
    """Whether the remediation is a comment: a sentence to be read first, a colon, and the SQL that fixes it."""
    fix: str = ""
    """The SQL that fixes it where the comment has a gap to fill."""
    leaves: str = ""
    """The checks that report something only after the remediation was run."""
    also: str = ""
    """The other checks that report something."""
    times: int | None = 1
    """How many findings the check has; None: it depends on the tables of the product."""
    needs: tuple[str, str] = ("select", "")
    """A query that has a row on a server where this twin can be made, and the reason to skip it elsewhere."""


class Good(NamedTuple):
    """What a check does not report."""

    sql: str
    also: str = ""
    """The other checks that report something."""
    needs: tuple[str, str] = ("select", "")


Twin = TypeVar("Twin", Bad, Good)
Twins = Mapping[str, Sequence[Bad | Good]]
"""The twins of each check, by its name."""


def tenant_table(
    table: str,
    tenant: str = "text",
    caller: str = "app.current_user_id()",
    more: str = "",
    column: str = "user_id",
) -> str:
    """Return the SQL that makes a tenant table as it should be."""
    return f"""
        create table {table} (
            {column} {tenant} not null default {caller},
            id uuid not null default gen_random_uuid(),
            body text not null,
            due_at timestamptz,
            created_at timestamptz not null default now(),
            primary key ({column}, id)
        ) {more};
        alter table {table} owner to app_owner;
        alter table {table} enable row level security, force row level security;
        create policy own on {table} to app_api using ({column} = {caller}) with check ({column} = {caller});
        grant select, delete, insert (body, due_at), update (body, due_at) on {table} to app_api;
    """


def shared_table(table: str) -> str:
    """Return the SQL that makes a table of workspaces as it should be: each command wants a role."""
    asks = "workspace_id = app.current_workspace_id('{}')"
    viewer, editor, owner = (asks.format(role) for role in ("viewer", "editor", "owner"))
    return f"""
        {tenant_table(table, "uuid", "app.current_workspace_id('viewer')", column="workspace_id")}
        drop policy own on {table};
        create policy p on {table} for select to app_api using ({viewer});
        create policy adding on {table} for insert to app_api with check ({editor});
        create policy own on {table} for update to app_api using ({editor}) with check ({editor});
        create policy removing on {table} for delete to app_api using ({owner});
    """


def routine(name: str = "scratch.f()", owner: str = "app_owner", kind: str = "function", *, path: bool = True) -> str:
    """Return the SQL that makes a SECURITY DEFINER routine as it should be: nobody may execute it yet."""
    returns, body = ("", "begin atomic end") if kind == "procedure" else ("returns int", "return 1")
    return f"""
        create {kind} {name} {returns} language sql security definer {"set search_path = ''" if path else ""} {body};
        alter {kind} {name} owner to {owner};
        revoke execute on {kind} {name} from public;
    """


HEALTHY = f"""
    create schema scratch authorization app_owner;
    grant usage on schema scratch to app_api;
    create schema hidden;
    {tenant_table("scratch.notes")}
"""
PARTITIONED = f"""
    {tenant_table("scratch.events", more="partition by list (user_id)")}
    create table scratch.events_a partition of scratch.events for values in ('alice');
    alter table scratch.events_a owner to app_owner;
"""
PARTITION_WITH_RLS = f"{PARTITIONED} alter table scratch.events_a enable row level security, force row level security;"

# The same under names that must be quoted, and that look like what the checks read: keywords of SQL, pieces of parse
# trees, the separators of keys.
ODD = {
    "scratch.notes": '"My App"."Odd ""Table"" USING x ("',
    "scratch.plans": '"My App"."Plan""s of {all} (:relid 1)"',
    "scratch.by_body": '"My App"."by (""user_id"", ) USING"',
    "by_body": '"by (""user_id"", ) USING"',
    "body": r'"{SUBLINK :args <> \} ("',
    "due_at": '"is due, user_id"',
    "own": '"o.w:n (a) in {b} %s"',
    "readers": '"Odd in ""Readers"""',
    "scratch.v": '"My App"."select ""1"""',
    "scratch.f": '"My App"."f(text)"',
    "scratch.events": '"My App"."Odd of ""Events"""',
    "scratch.events_a": '"My App".events_a',
    "p": '"a of b"',
    "notes_pkey": '"Odd ""Table"" USING x (_pkey"',
    "scratch.events_pkey": '"My App"."Odd of ""Events""_pkey"',
    "events_pkey": '"Odd of ""Events""_pkey"',
    "in schema scratch": 'in schema "My App"',
}
ODD_SCHEMA = 'create schema "My App" authorization app_owner; grant usage on schema "My App" to app_api;'


def odd(text: str) -> str:
    """Return SQL, or the name of an object, with odd names instead of the plain ones."""
    plain = sorted(ODD, key=len, reverse=True)
    return re.sub(rf"\b({'|'.join(map(re.escape, plain))})\b", lambda match: ODD[match[0]], text)


def parametrized(twins: Twins) -> tuple[Callable[..., None], Callable[..., None], Callable[..., None]]:
    """Return the three tests of the twins of a module: bad ones, bad ones under odd names, good ones."""
    quoted = [
        (check, twin._replace(sql=odd(twin.sql), object=odd(twin.object), fix=odd(twin.fix)))
        for check, twin in _pairs(twins, Bad)
        if odd(twin.object) != twin.object
    ]

    @pytest.mark.parametrize(("check", "twin"), _parameters(_pairs(twins, Bad)))
    def test_bad(scratch: psycopg.Connection, check: str, twin: Bad) -> None:
        _assert_reported_and_fixed(scratch, check, twin)

    @pytest.mark.parametrize(("check", "twin"), _parameters(quoted))
    def test_bad_under_odd_names(scratch: psycopg.Connection, check: str, twin: Bad) -> None:
        _assert_quoted(scratch, check, twin)

    @pytest.mark.parametrize(("check", "twin"), _parameters(_pairs(twins, Good)))
    def test_good(scratch: psycopg.Connection, check: str, twin: Good) -> None:
        _assert_not_reported(scratch, check, twin)

    return test_bad, test_bad_under_odd_names, test_good


def _pairs(twins: Twins, kind: type[Twin]) -> list[tuple[str, Twin]]:
    return [(check, twin) for check in twins for twin in twins[check] if isinstance(twin, kind)]


def _parameters(pairs: Sequence[tuple[str, Bad | Good]]) -> list[Any]:
    return [pytest.param(check, twin, id=f"{check}-{number}") for number, (check, twin) in enumerate(pairs)]


def run(connection: psycopg.Connection, statements: str) -> None:
    """Run SQL."""
    connection.execute(statements, prepare=False)


def findings(connection: psycopg.Connection) -> list[Finding]:
    """Return audit.findings. The fixture `healthy` prepared the query: planning it takes longer than running it.

    Without what no release made, or made otherwise: that is in every twin. See tests/audit/test_surface.py.
    """
    rows = connection.execute("execute findings", prepare=False).fetchall()
    return [Finding(*row[:-1]) for row in rows if row[0] not in SURFACE]


def findings_of(connection: psycopg.Connection, check: str, reported: Collection[Finding] = ()) -> set[Finding]:
    """Return what one check finds when the auditor runs it alone, with a search_path of its own.

    Without what is accepted, unless it is `reported` all the same: accepted was something else.
    """
    run(connection, "set local role app_auditor; set local search_path = app, public")
    rows = connection.execute(CHECKS[check]).fetchall()
    accepted = {key for (key,) in connection.execute("select key from audit.accepted")} - {
        each.key for each in reported
    }
    run(connection, "reset role; reset search_path")
    return {Finding(*row) for row in rows if row[-1] not in accepted}


def _assert_reported_and_fixed(connection: psycopg.Connection, check: str, twin: Bad) -> None:
    """See that a check reports a bad twin, alone and among all, and that what the findings say to run fixes it."""
    _make(connection, twin)
    before = findings(connection)
    mine = [found for found in before if found.name == check]
    finding, *_ = [found for found in mine if found.object == twin.object]
    assert finding.level == twin.level
    assert finding.detail.endswith(".")
    assert finding.key.startswith(f"{check}:{twin.object}")
    assert {found.name for found in before} == {check, *twin.also.split()}
    assert len(mine) == (twin.times or len(mine))
    assert len({found.key for found in before}) == len(before)
    assert findings_of(connection, check, before) == set(mine)

    _fix(connection, finding, twin)
    after = findings(connection)
    new = {found for found in after if found.key not in {known.key for known in before}}
    assert finding.key not in {found.key for found in after}
    assert {found.name for found in new} == set(twin.leaves.split())
    assert ERROR not in {found.level for found in new}
    assert _fixed_from_the_top(connection) == []


def _fix(connection: psycopg.Connection, finding: Finding, twin: Bad) -> None:
    if twin.advice or twin.fix:
        assert all(line.startswith("-- ") for line in re.split(r"[\r\n]", finding.remediation))
    else:
        assert not finding.remediation.startswith("--")
    run(connection, twin.fix or without_comment(finding.remediation))


def without_comment(remediation: str) -> str:
    """Return the SQL in a remediation that is a comment, or in any other."""
    return re.sub(r"^-- .*?: ", "", remediation, count=1, flags=re.DOTALL).replace("\n-- ", "\n")


def _fixed_from_the_top(connection: psycopg.Connection) -> list[Finding]:
    """Run the first remediation again and again; return what is left when that should have been enough."""
    left = findings(connection)
    for _ in range(2 * len(left) + 10):
        if left:
            run(connection, without_comment(left[0].remediation))
            left = findings(connection)
    return left


def _assert_quoted(connection: psycopg.Connection, check: str, twin: Bad) -> None:
    """See that a check reports a bad twin under odd names, and that its remediation works on them."""
    names = f"{ODD_SCHEMA} create role {odd('readers')}; {odd(tenant_table('scratch.notes'))}"
    _make(connection, twin._replace(sql=f"{names} {twin.sql}"))
    finding, *_ = [found for found in findings_of(connection, check) if found.object == twin.object]
    assert finding.level == twin.level
    assert finding.key.startswith(f"{check}:{twin.object}")

    _fix(connection, finding, twin)
    assert finding.key not in {found.key for found in findings_of(connection, check)}


def _assert_not_reported(connection: psycopg.Connection, check: str, twin: Good) -> None:
    """See that a check does not report a good twin."""
    _make(connection, twin)
    reported = {finding.name for finding in findings(connection)}
    assert reported == set(twin.also.split())
    assert check not in reported


def _make(connection: psycopg.Connection, twin: Bad | Good) -> None:
    query, reason = twin.needs
    if connection.execute(query).fetchone() is None:
        pytest.skip(reason)
    run(connection, twin.sql)
