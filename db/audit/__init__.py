"""The audit: who may do what to which rows, and whether the policies hold, as views in schema `audit`.

Each `*.sql` file here is one check, a query that psql runs by itself. `schema/` has the views and functions that the
checks use and that people read. `alembic upgrade head` installs all of it again, so it is always that of the installed
version.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import asyncpg

from db.audit.state import AS_INSTALLED, is_edited, is_installed, record
from db.citus import ON_WORKER, is_worker

_HERE = Path(__file__).parent
_BEFORE_FINDINGS = (
    "removal",
    "functions",
    "manifest",
    "tenants",
    "roles",
    "tables",
    "clauses",
    "definers",
    "grants",
    "policies",
    "accepted_on_citus",
    "accepted",
    "examples",
    "member_rights",
    "extensions",
    "nodes",
    "surface",
)

CHECKS = {file.stem: file.read_text() for file in sorted(_HERE.glob("*.sql"))}
"""Each check's name and its query."""

# What several checks read is computed once for all of them: that halves the time. A check by itself reads the view.
_SHARED = (
    "api_roles",
    "clauses",
    "contexts",
    "definer_functions",
    "grants",
    "relation_grants",
    "surface",
    "tables",
    "tenant_columns",
    "view_reads",
)
_FINDINGS = """
create or replace view audit.findings as
with {shared}
select f.name, f.level, f.object, f.detail, f.remediation, f.key, p.fingerprint
from (
{checks}
) as f
cross join lateral (
    select left(encode(sha256(convert_to(concat_ws(e'\n', f.detail, string_agg(s.fingerprint, ' ' order by s.key)),
        'UTF8')), 'hex'), 16) as fingerprint
    from shared_surface as s where f.object in (s.object, s.key)
) as p
where not exists (select from audit.accepted as a where a.key = f.key and a.fingerprint = p.fingerprint)
order by array_position(array['error', 'warning', 'info'], f.level), f.name, f.object;

comment on view audit.findings is
    'What is wrong with the isolation of tenants, errors first. No rows: nothing was found.';
comment on column audit.findings.name is 'The check, which is explained in db/audit/NAME.sql.';
comment on column audit.findings.level is
    'error: one tenant may reach another''s rows, and the API stops serving. warning: it would take a second mistake.';
comment on column audit.findings.remediation is 'The SQL that fixes it.';
comment on column audit.findings.key is 'What audit.accepted lists it by.';
comment on column audit.findings.fingerprint is 'Of the finding and of what it is about: it changes when that changes.';
"""
_DESCRIPTION = "Who may do what to which rows, and whether the policies hold"


class Finding(NamedTuple):
    """A row of audit.findings."""

    name: str
    level: str
    object: str
    detail: str
    remediation: str
    key: str
    fingerprint: str = ""


EDITED = Finding(
    "changed",
    "error",
    "schema audit",
    "Its views and functions are not those that were installed: what they find means nothing.",
    "-- Install them again: alembic upgrade head",
    "changed:schema audit",
)


def fingerprint_of(detail: str) -> str:
    """Return the fingerprint of a finding that is about nothing in audit.surface: 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(detail.encode()).hexdigest()[:16]


def of_node(node: str, object_: str, difference: str) -> Finding:
    """Return the finding that something differs on a node of a Citus cluster: a row of audit.nodes()."""
    detail = f"On {node} it {difference}."
    level = "error" if object_ != "node" else "warning"
    remediation = "-- See select * from audit.nodes(); make it there what it is on the coordinator."
    return Finding("changed", level, object_, detail, remediation, f"changed:{node} {object_}", fingerprint_of(detail))


class NotInstalledError(Exception):
    """Schema `audit` is missing or of another version. The message says what to do."""


def installation() -> str:
    """Return the SQL script that installs this version of the audit over any other, to be run as app_owner."""
    script = _script()
    return "\n".join([f"{AS_INSTALLED};", script, record(_description(script))])


async def find(connection: asyncpg.Connection) -> list[Finding]:
    """Return the rows of audit.findings, errors first, and what differs on other nodes of a cluster.

    Raises NotInstalledError, or what asyncpg raises.
    """
    async with connection.transaction(readonly=True):
        await connection.execute(AS_INSTALLED)
        if not await is_installed(connection, _description(_script())):
            not_installed = "schema audit is missing or of another version: run alembic upgrade head"
            raise NotInstalledError(ON_WORKER if await is_worker(connection) else not_installed)
        rows = await connection.fetch("select * from audit.findings")
        edited = [EDITED] if await is_edited(connection) else []
        nodes = [of_node(*row) for row in await connection.fetch("select * from audit.nodes()")]
        accepted = {tuple(row) for row in await connection.fetch("select key, fingerprint from audit.accepted")}
    nodes = [each for each in nodes if (each.key, each.fingerprint) not in accepted]
    return [*edited, *nodes, *[Finding(*row) for row in rows]]


def _script() -> str:
    checks = "\nunion all\n".join(query.strip().removesuffix(";") for query in CHECKS.values())
    checks = re.sub(rf"\baudit\.({'|'.join(_SHARED)})\b", r"shared_\1", checks)
    shared = ", ".join(f"shared_{view} as materialized (table audit.{view})" for view in _SHARED)
    return "\n".join(
        [
            *map(_part, _BEFORE_FINDINGS),
            _FINDINGS.format(shared=shared, checks=checks),
            *map(_part, ("explain_access", "readers")),
        ]
    )


def _part(name: str) -> str:
    return (_HERE / "schema" / f"{name}.sql").read_text()


def _description(script: str) -> str:
    return f"{_DESCRIPTION}; version {hashlib.sha256(script.encode()).hexdigest()[:16]}"
