"""What --prove finds by trying: holes in tables, and in how the API's login starts."""

import asyncio
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest

from db.audit.prove import Proof, prove, prove_as_api
from tests.support.database import Url
from tests.support.designs import CYCLE, KIND, REAL, TREE, accept, proof_of, protect
from tests.support.twins import OWN, PARTITION_WITH_RLS, PARTITIONED

READERS = """
    create role readers; alter role app_api noinherit; grant readers to app_api;
    grant usage on schema scratch to readers;
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
        insert into scratch.pages select user_id, id from scratch.notes""",
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
        insert into scratch.bills values ('alice', 1);
        {protect("scratch.bills", "select", "to app_api using (true)")}""",
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
        f"""{READERS} create policy wide on scratch.notes for select to readers using (true);
        grant select on scratch.notes to readers""",
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
        f"""{READERS} create policy wide on scratch.notes for delete to readers using (true);
        grant delete on scratch.notes to readers""",
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
        {protect("scratch.jobs", "update (done)", "to app_api using (true) with check (true)")}
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
        f"""create table scratch.log (user_id text not null, what text) partition by list (user_id);
        create foreign data wrapper w; create server s foreign data wrapper w;
        create foreign table scratch.log_bob partition of scratch.log for values in ('bob') server s;
        {protect("scratch.log", "select, delete")}""",
    )
    untried = {(finding.object, finding.level) for finding in proof.findings if finding.name == "prove_untried"}
    assert untried == {("scratch.log", "warning")}


def test_a_correct_policy_lets_a_write_without_a_condition_read_no_foreign_row(admin: psycopg.Connection) -> None:
    admin.execute("insert into app.tasks (user_id, text) select 'charlie', 'x' from generate_series(1, 20000)")
    admin.execute("analyze app.tasks")
    admin.execute("set local role app_api; set local app.user_id = 'alice'")
    changed = "array[pg_stat_get_xact_tuples_deleted('app.tasks'::regclass)] = array[0::bigint]"
    plan = admin.execute(f"explain delete from app.tasks where {changed}".encode()).fetchall()
    assert "Index Cond: (user_id = " in str(plan)


# ---- as the API connects -----------------------------------------------------------------------------


LOGINS = {
    "a caller of the role": ("start with a caller", "alter role app_api in database {} set app.user_id = 'alice'"),
    "a role of the role": ("start as another role", "alter role app_api in database {} set role = if_not"),
    "no policies": ("start without policies", "alter role app_api in database {} set row_security = off"),
    "a trigger at login": (
        "start with a caller",
        """create function public.greet() returns event_trigger language plpgsql security definer as
        'begin perform pg_catalog.set_config(''app.user_id'', ''alice'', false); end';
        create event trigger greet on login execute function public.greet()""",
    ),
}


@pytest.fixture
def if_not(admin: psycopg.Connection) -> Iterator[None]:
    """A role that the API may become: roles belong to the whole server."""
    admin.autocommit = True
    admin.execute("create role if_not; grant if_not to app_api")
    yield
    admin.execute("drop role if_not")


@pytest.mark.parametrize("name", LOGINS)
@pytest.mark.usefixtures("if_not")
def test_what_a_login_brings_about_is_found_as_the_api_connects(name: str, url: Url, admin: psycopg.Connection) -> None:
    if "login" in name and admin.info.server_version < 170000:
        pytest.skip("triggers at login are new in PostgreSQL 17")
    attempt, change = LOGINS[name]
    admin.execute(change.format(admin.info.dbname).encode())

    proof = asyncio.run(prove_as_api(url("app_api")))

    assert ("session", attempt, False) in [(each.table, each.attempt, each.blocked) for each in proof.attempts]
    assert f"prove:session:{attempt}" in {finding.key for finding in proof.findings}


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
