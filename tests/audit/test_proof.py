"""What --prove finds by trying, on designs that are made here, and on which healthy designs it is silent."""

import asyncio
import json

import asyncpg
import psycopg
import pytest

from db.audit.attempts import Attempt
from db.audit.prove import Proof, prove, prove_as_api
from tests.support.database import Url
from tests.support.twins import OWN, PARTITIONED, PARTITION_WITH_RLS, tenant_table

NOTES = f"create schema scratch authorization app_owner; grant usage on schema scratch to app_api; {tenant_table('scratch.notes')}"
REAL = "insert into scratch.notes (user_id, body) select 'user ' || n % 9, 'real' from generate_series(1, 99) as n;"
MINE = f"to app_api using ({OWN}) with check ({OWN})"


def protect(table: str, grants: str, policy: str = MINE) -> str:
    """Return the SQL that gives a table the policy of every tenant table, and privileges."""
    return f"""
        alter table {table} owner to app_owner;
        alter table {table} enable row level security, force row level security;
        create policy own on {table} {policy};
        grant {grants} on {table} to app_api;
    """


def accept(*keys: str) -> str:
    rows = ", ".join(f"('{key}', 'For this test.')" for key in keys)
    return f"create or replace view audit.accepted (key, reason) as values {rows};"


def example(table: str, row: str) -> str:
    return f"create or replace view audit.examples as select '{table}' as \"table\", '{row}'::jsonb as \"row\";"


def proof_of(url: Url, design: str) -> Proof:
    """Return what --prove says of a design, which is rolled back."""

    async def run() -> Proof:
        connection = await asyncpg.connect(url("postgres"), statement_cache_size=0)
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(NOTES + design)
            return await prove(connection)
        finally:
            await transaction.rollback()
            await connection.close()

    return asyncio.run(run())


# ---- holes -------------------------------------------------------------------------------------------

READERS = "create role readers; alter role app_api noinherit; grant readers to app_api; grant usage on schema scratch to readers;"
KIND = """
    create table scratch.kinds (code text primary key, label text); insert into scratch.kinds values ('a', 'A');
    alter table scratch.kinds owner to app_owner; grant select on scratch.kinds to app_api;
"""
# A reference from one tenant's row to another's, and the row has but one place for it.
TREE = f"""
    create table scratch.tree (
        user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(), parent uuid,
        name text not null check (name in ('only')), primary key (user_id, id), unique (user_id, name), unique (id),
        foreign key ({{}}parent) references scratch.tree ({{}}id));
    {protect("scratch.tree", "select, delete, insert (parent, name), update (name)")}
"""
CYCLE = f"""
    create table scratch.teams (
        user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(), lead uuid,
        primary key (user_id, id), unique (id));
    create table scratch.people (
        user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(),
        team uuid not null, primary key (user_id, id), unique (id),
        foreign key ({{}}team) references scratch.teams ({{}}id));
    alter table scratch.teams add foreign key ({{}}lead) references scratch.people ({{}}id);
    {protect("scratch.teams", "select, delete, insert (lead), update (lead)")}
    {protect("scratch.people", "select, delete, insert (team), update (team)")}
"""

HOLES = {
    "every row can be deleted": (
        f"{REAL} create policy wide on scratch.notes for delete to app_api using (true)",
        {
            "delete without a condition",
            "delete without a caller",
            "merge without a condition",
            "merge without a caller",
        },
    ),
    "every row can be updated": (
        f"{REAL} create policy wide on scratch.notes for update to app_api using (true) with check (true)",
        {"update without a condition", "update without a caller"},
    ),
    "every row is reached by an update, which then fails": (
        f"{REAL} create policy wide on scratch.notes for update to app_api using (true) with check ({OWN})",
        {"update without a condition", "update without a caller"},
    ),
    "without a caller every row can be deleted": (
        f"{REAL} create policy w on scratch.notes for delete to app_api using (app.current_user_id() is null)",
        {"delete without a caller", "merge without a caller"},
    ),
    "what is deleted is still referenced": (
        f"""{REAL} create policy wide on scratch.notes for delete to app_api using (true);
        create table scratch.pages (user_id text, note uuid, foreign key (user_id, note) references scratch.notes);
        insert into scratch.pages select user_id, id from scratch.notes; revoke usage on schema scratch from app_api;
        grant usage on schema scratch to app_api""",
        {
            "delete without a condition",
            "delete without a caller",
            "merge without a condition",
            "merge without a caller",
        },
    ),
    "a trigger fails for what is updated": (
        f"""{REAL} create policy wide on scratch.notes for update to app_api using (true) with check (true);
        create function scratch.fail() returns trigger language plpgsql as 'begin raise exception ''no''; end';
        create trigger fail before update on scratch.notes for each row execute function scratch.fail()""",
        {"update without a condition", "update without a caller"},
    ),
    "rows of a table that cannot be written": (
        f"""create table scratch.bills (user_id text not null, id int, primary key (user_id, id));
        insert into scratch.bills values ('alice', 1); {protect("scratch.bills", "select", "to app_api using (true)")}""",
        {"read without a condition", "read without a caller"},
    ),
    "a partition": (
        f"""{PARTITION_WITH_RLS} create policy wide on scratch.events for delete to app_api using (true);
        create table scratch.events_rest partition of scratch.events default;
        alter table scratch.events_rest enable row level security, force row level security;
        insert into scratch.events (user_id, body) select 'alice', 'real' from generate_series(1, 9)""",
        {
            "delete without a condition",
            "delete without a caller",
            "merge without a condition",
            "merge without a caller",
        },
    ),
    "a partition that is reached directly": (
        f"""{PARTITIONED} create table scratch.events_rest partition of scratch.events default;
        grant select on scratch.events_rest to app_api""",
        {
            "read another tenant's row",
            "read all rows but one's own",
            "read without a condition",
            "read without a caller",
        },
    ),
    "a policy for a role that the API can become": (
        f"{READERS} create policy wide on scratch.notes for select to readers using (true); grant select on scratch.notes to readers",
        {
            f"{attempt} as readers"
            for attempt in (
                "read another tenant's row",
                "read all rows but one's own",
                "read without a condition",
                "read without a caller",
            )
        },
    ),
    "a blind policy for a role that the API can become": (
        f"{READERS} create policy wide on scratch.notes for delete to readers using (true); grant delete on scratch.notes to readers",
        {
            f"{command} {without} as readers"
            for command in ("delete", "merge")
            for without in ("without a condition", "without a caller")
        },
    ),
    "a shared table that can be written": (
        f"""{KIND} {accept("tenant_column_missing:scratch.kinds", "rls_disabled:scratch.kinds")}
        grant update (label) on scratch.kinds to app_api""",
        {"update without a condition", "update without a caller"},
    ),
    "a reference to a row of the same table": (TREE.format("", ""), {"reference another tenant's row in scratch.tree"}),
    "references in a circle": (
        CYCLE.format(*[""] * 4),
        {"reference another tenant's row in scratch.teams", "reference another tenant's row in scratch.people"},
    ),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_is_found_by_the_attempts_that_get_through(name: str, url: Url) -> None:
    design, expected = HOLES[name]
    proof = proof_of(url, design)
    assert {attempt.attempt for attempt in proof.attempts if attempt.blocked is False} == expected
    assert {finding.name for finding in proof.findings} == {"prove"}


def through(proof: Proof) -> set[str]:
    return {attempt.outcome for attempt in proof.attempts if attempt.blocked is False}


def test_a_write_without_a_condition_touches_one_row_at_most(url: Url) -> None:
    proof = proof_of(
        url, f"{REAL} alter table scratch.notes disable row level security; grant all on app.tasks to app_api"
    )
    blind = {
        each for each in proof.attempts if each.attempt.startswith(("delete without", "update without", "merge w"))
    }
    assert {each.outcome for each in blind if not each.blocked} == {"DELETE 1", "UPDATE 1", "MERGE 1"}


def test_an_update_that_moves_rows_between_partitions_touches_one_row_at_most(url: Url) -> None:
    design = f"""
        create table scratch.jobs (user_id text not null default app.current_user_id(), id int, done boolean not null)
            partition by list (done);
        create table scratch.jobs_done partition of scratch.jobs for values in (true);
        create table scratch.jobs_open partition of scratch.jobs for values in (false);
        insert into scratch.jobs select 'alice', n, true from generate_series(1, 9) as n;
        {protect("scratch.jobs", "select, insert (done), update (done)", "to app_api using (true) with check (true)")}
    """
    updates = [each for each in proof_of(url, design).attempts if each.attempt == "update without a condition"]
    assert {(each.table, each.outcome) for each in updates if not each.blocked} == {("scratch.jobs", "UPDATE 1")}


def test_without_the_counters_no_write_goes_unbounded(url: Url) -> None:
    proof = proof_of(url, f"{REAL} alter table scratch.notes disable row level security; set local track_counts = off")
    untried = {finding.object for finding in proof.findings if finding.name == "prove_untried"}
    assert "scratch.notes" in untried
    assert all(each.blocked is None for each in proof.attempts if each.attempt == "delete without a condition")


def test_a_partition_that_is_a_foreign_table_has_no_counters(url: Url) -> None:
    proof = proof_of(
        url,
        f"""{PARTITION_WITH_RLS} create foreign data wrapper w; create server s foreign data wrapper w;
        create foreign table scratch.events_b partition of scratch.events for values in ('bob') server s;
        revoke select, delete on scratch.events from app_api""",
    )
    untried = [(finding.object, finding.level) for finding in proof.findings if finding.name == "prove_untried"]
    assert set(untried) == {("scratch.events", "warning")}, proof.findings


def test_a_correct_policy_lets_a_write_without_a_condition_read_no_foreign_row(admin: psycopg.Connection) -> None:
    admin.execute("insert into app.tasks (user_id, text) select 'charlie', 'x' from generate_series(1, 20000)")
    admin.execute("analyze app.tasks")
    admin.execute("set local role app_api; set local app.user_id = 'alice'")
    changed = "array[pg_stat_get_xact_tuples_deleted('app.tasks'::regclass)] = array[0::bigint]"
    plan = admin.execute(f"explain delete from app.tasks where {changed}".encode()).fetchall()
    assert "Index Cond: (user_id = " in str(plan)


# ---- as the API connects -----------------------------------------------------------------------------


LOGINS = {
    "a caller of the role": "alter role app_api in database {database} set app.user_id = 'alice'",
    "another role": "create role if_not; grant if_not to app_api; alter role app_api in database {database} set role = if_not",
    "no policies": "alter role app_api in database {database} set row_security = off",
    "a trigger at login": """
        create function public.greet() returns event_trigger language plpgsql as
        'begin perform pg_catalog.set_config(''app.user_id'', ''alice'', false); end';
        create event trigger greet on login execute function public.greet()""",
}
FOUND = {
    "a caller of the role": "start with a caller",
    "another role": "start as another role",
    "no policies": "start without policies",
    "a trigger at login": "start with a caller",
}


@pytest.mark.parametrize("name", LOGINS)
def test_what_a_login_brings_about_is_found_as_the_api_connects(name: str, url: Url, admin: psycopg.Connection) -> None:
    if "login" in name and admin.info.server_version < 170000:
        pytest.skip("triggers at login are new in PostgreSQL 17")
    admin.autocommit = True
    try:
        admin.execute(LOGINS[name].format(database=admin.info.dbname).encode())

        proof = asyncio.run(prove_as_api(url("app_api")))

        assert ("session", FOUND[name], False) in [(each[0], each[1], each[3]) for each in proof.attempts]
        assert f"prove:session:{FOUND[name]}" in {finding.key for finding in proof.findings}
    finally:
        if name == "another role":
            admin.execute("drop role if_not")


def test_the_session_of_the_api_leaves_nothing_behind(url: Url, admin: psycopg.Connection) -> None:
    asyncio.run(prove_as_api(url("app_api")))
    assert admin.execute("select count(*) from app.tasks").fetchone() == (0,)


def test_both_ways_make_the_same_attempts(url: Url) -> None:
    async def by_role() -> Proof:
        connection = await asyncpg.connect(url("postgres"))
        try:
            return await prove(connection)
        finally:
            await connection.close()

    assert asyncio.run(by_role()) == asyncio.run(prove_as_api(url("app_api")))


# ---- healthy designs ---------------------------------------------------------------------------------

BODY = f"""
    create table scratch.things (
        user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(),
        body {{}}, primary key (user_id, id));
    {protect("scratch.things", "select, delete, insert (body), update (body)")}
"""
CHECKED = {
    "text that matches an expression": "text not null check (body ~ '^[A-Z]{3}-[0-9]+$')",
    "an address": "text not null check (body ~ '^[^@[:space:]]+@[^@]+[.][a-z]{2,}$' and char_length(body) <= 100)",
    "text of a length": "text not null check (char_length(body) between 8 and 20)",
    "text of a length that matches an expression": "text not null check (body ~ '^[a-z-]+$') check (length(body) > 5)",
    "text of a list": "text not null check (body in ('it''s a draft', 'done'))",
    "a number of a range": "integer not null check (body > 100 and body < 200)",
    "JSON that is an array": "jsonb not null check (jsonb_typeof(body) = 'array')",
    "JSON with a member": "jsonb not null check (body ? 'kind')",
    "JSON that has two members": "jsonb not null check (body ? 'kind' and body ? 'size')",
    "an array of a length": "integer[] not null check (array_length(body, 1) = 3)",
    "a network": "inet not null",
    "a range": "int4range not null",
    "ranges": "datemultirange not null",
    "a range that is not empty": "daterange not null check (not isempty(body))",
    "a point": "point not null",
    "bits": "bit(8) not null",
    "a hardware address": "macaddr not null",
    "money": "money not null",
}


def tenant_of(type_: str, caller: str) -> str:
    return tenant_table("scratch.things", type_, caller)


HEALTHY = {
    **{f"a column with {name}": BODY.format(definition) for name, definition in CHECKED.items()},
    "an enum": "create type scratch.colour as enum ('red'); " + BODY.format("scratch.colour not null"),
    "a domain of text": "create domain scratch.slug as text check (value ~ '^[a-z0-9-]{3,30}$'); "
    + BODY.format("scratch.slug not null"),
    "a vector": "create domain scratch.vector as real[] not null check (array_length(value, 1) = 3); "
    + BODY.format("scratch.vector"),
    "a domain of a domain": "create domain scratch.a as text check (value <> '1'); create domain scratch.b as scratch.a"
    " check (length(value) = 4); " + BODY.format("scratch.b not null"),
    "a tenant that is a bigint": tenant_of("bigint", "app.current_user_id()::bigint"),
    "a tenant that is an integer": tenant_of("integer", "app.current_user_id()::integer"),
    "a tenant that is a uuid": tenant_of("uuid", "app.current_user_id()::uuid"),
    "a tenant that is a short varchar": tenant_of("varchar(20)", "app.current_user_id()"),
    "a tenant that is a domain": "create domain scratch.user_id as text check (value ~ '^[a-z0-9-]{5,64}$'); "
    + tenant_of("scratch.user_id", "app.current_user_id()"),
    "a tenant that is a domain of bigint": "create domain scratch.user_id as bigint check (value > 0); "
    + tenant_of("scratch.user_id", "app.current_user_id()::bigint"),
    "a tenant with ids of its own form": "create domain scratch.user_id as text check (value ~ '^user_[a-z]{4}$'); "
    + tenant_of("scratch.user_id", "app.current_user_id()")
    + example("scratch.things", '{"user_id": ["user_aaaa", "user_bbbb", "user_cccc"]}'),
    "tables that refer to each other": CYCLE.format(*["user_id, "] * 6),
    "a table that refers to itself": TREE.format("user_id, ", "user_id, "),
    "a table without columns": f"create table scratch.nothing (); grant select on scratch.nothing to app_api; "
    f"{accept('tenant_column_missing:scratch.nothing')}",
    "a list by tenant": PARTITION_WITH_RLS + "insert into scratch.events (user_id, body) values ('alice', 'real');",
    "a hash of the tenant": f"""
        {tenant_table("scratch.events", more="partition by hash (user_id)")}
        create table scratch.events_0 partition of scratch.events for values with (modulus 2, remainder 0);
        create table scratch.events_1 partition of scratch.events for values with (modulus 2, remainder 1);""",
    "a range of days": f"""
        create table scratch.days (
            user_id text not null default app.current_user_id(), day date not null, primary key (user_id, day)
        ) partition by range (day);
        create table scratch.days_1 partition of scratch.days for values from ('2020-01-01') to ('2020-02-01');
        {protect("scratch.days", "select, delete, insert (day)")}""",
    "a list of kinds": f"""
        create table scratch.jobs (
            user_id text not null default app.current_user_id(), id int not null, kind text not null,
            primary key (user_id, id, kind)
        ) partition by list (kind);
        create table scratch.jobs_1 partition of scratch.jobs for values in ('mail', 'sms');
        {protect("scratch.jobs", "select, delete, insert (id, kind)")}""",
    "rows that are only added": f"""
        create table scratch.log (user_id text not null default app.current_user_id(), what text not null);
        {protect("scratch.log", "select, insert (what)")}""",
    "rows that are only added and never read": f"""
        create table scratch.log (user_id text not null default app.current_user_id(), what text not null);
        {protect("scratch.log", "insert (what)", f"for insert to app_api with check ({OWN})")}""",
    "rows that are only read": f"""
        create table scratch.bills (user_id text not null, id int, primary key (user_id, id));
        insert into scratch.bills select 'user ' || n, n from generate_series(1, 9) as n;
        {protect("scratch.bills", "select", f"for select to app_api using ({OWN})")}""",
    "a shared list that rows refer to": f"""
        {KIND} {accept("tenant_column_missing:scratch.kinds", "rls_disabled:scratch.kinds")}
        create table scratch.things (
            user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(),
            kind text not null references scratch.kinds, primary key (user_id, id));
        {protect("scratch.things", "select, delete, insert (kind), update (kind)")}""",
    "ids that the client makes": f"""
        create table scratch.parents (
            user_id text not null default app.current_user_id(), id uuid not null, primary key (user_id, id));
        create table scratch.children (
            user_id text not null default app.current_user_id(), id uuid not null, parent uuid not null,
            primary key (user_id, id), foreign key (user_id, parent) references scratch.parents);
        {protect("scratch.parents", "select, delete, insert (id)")}
        {protect("scratch.children", "select, delete, insert (id, parent)")}""",
    "a parent whose name sorts after its child's": f"""
        create table scratch.z (
            user_id text not null default app.current_user_id(), id bigint generated always as identity,
            primary key (user_id, id));
        create table scratch.y (
            user_id text not null default app.current_user_id(), z bigint not null, primary key (user_id, z),
            foreign key (user_id, z) references scratch.z);
        {protect("scratch.z", "select, delete, insert")} revoke insert on scratch.z from app_api;
        grant insert (id) on scratch.z to app_api;
        {protect("scratch.y", "select, delete, insert (z)")}""",
    "one of two parents": f"""
        create table scratch.files (
            user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(), note uuid,
            task uuid, check (num_nonnulls(note, task) = 1), primary key (user_id, id),
            foreign key (user_id, note) references scratch.notes,
            foreign key (user_id, task) references app.tasks (user_id, id));
        {protect("scratch.files", "select, delete, insert (note, task), update (note)")}
        {example("scratch.files", '{"task": null}')}""",
    "a value that only an example tells": f"""
        {BODY.format("text not null check (md5(body) = md5('sesame'))").replace("'sesame'", "'s' || 'esame'")}
        {example("scratch.things", '{"body": "sesame"}')}""",
    "a group of the API": "create role readers; grant readers to app_api;"
    "grant usage on schema scratch to readers; grant select on scratch.notes to readers",
    "a table that nobody was granted": "create table scratch.internal (user_id text, id int)",
}


@pytest.mark.parametrize("name", HEALTHY)
def test_the_proof_is_silent_on_a_healthy_design(name: str, url: Url) -> None:
    proof = proof_of(url, HEALTHY[name])
    assert proof.findings == []
    assert [attempt for attempt in proof.attempts if attempt.blocked is not True] == []


def made(proof: Proof, table: str) -> set[str]:
    return {attempt.attempt for attempt in proof.attempts if attempt.table == table}


@pytest.mark.parametrize(
    ("name", "table"),
    [
        (name, "scratch.things")
        for name in HEALTHY
        if name.startswith(("a column", "a tenant", "an enum", "a domain", "a vector", "a shared list", "a value"))
    ]
    + [
        ("tables that refer to each other", "scratch.people"),
        ("a table that refers to itself", "scratch.tree"),
        ("a hash of the tenant", "scratch.events"),
        ("a range of days", "scratch.days"),
        ("a list of kinds", "scratch.jobs"),
        ("rows that are only added", "scratch.log"),
        ("ids that the client makes", "scratch.children"),
        ("a parent whose name sorts after its child's", "scratch.y"),
        ("one of two parents", "scratch.files"),
    ],
)
def test_rows_of_two_tenants_were_there(name: str, table: str, url: Url) -> None:
    """Silence is not that nothing was tried."""
    assert "delete another tenant's row" in made(proof_of(url, HEALTHY[name]), table)


def test_what_cannot_be_guessed_is_told_by_a_line_in_a_file(url: Url) -> None:
    design = BODY.format("text not null constraint sealed check (md5(body) = md5('s' || 'esame'))")

    proof = proof_of(url, design)

    [finding] = proof.findings
    assert (finding.name, finding.level, finding.object) == ("prove_seed", "warning", "scratch.things")
    assert 'violates check constraint "sealed"' in finding.detail
    assert "db/audit/schema/examples.sql" in finding.remediation
    assert "('scratch.things', '{\"body\": " in finding.remediation
    assert Attempt("scratch.things", "read without a condition", "SELECT 0", blocked=True) in proof.attempts


def test_a_role_of_the_api_that_gets_no_further_is_one_line(url: Url) -> None:
    attempts = proof_of(url, HEALTHY["a group of the API"]).attempts
    [line] = [each for each in attempts if "readers" in each.attempt]
    assert (line.table, line.attempt, line.blocked) == ("scratch.notes", "all of it as readers", True)
    assert json.dumps(line)
