"""The policies in SQL, on every table of tenants: with a caller, without one, and whatever a statement forgets.

Alice and Bob each have a row in every table, and a workspace of their own; about those who share one there is
tests/db/test_workspaces.py. Through HTTP: tests/http/test_isolation.py. Tables without a resource are tried by `prove`.
"""

import asyncio
from collections.abc import Iterator, Mapping
from uuid import UUID

import asyncpg
import psycopg
import pytest
from psycopg import errors

from db.audit.prove import Proof, prove
from tests.support.database import Url
from tests.support.tables import insert_examples, rows_of, tenant_tables

pytestmark = pytest.mark.usefixtures("tables")

NOBODY = {
    "nobody": "select",
    "nobody any more": "set local app.user_id = ''; set local app.workspace_id = ''",
    "nobody in a workspace": "set local app.workspace_id = '{workspace_id}'",
}
COLUMN = """
    select quote_ident(t."column") from audit.tenant_columns as t where t.relation = %s::regclass
"""
UPDATABLE = """
    select quote_ident(attname) from pg_attribute
    where attrelid = %s::regclass and attnum > 0 and has_column_privilege('app_api', attrelid, attnum, 'update')
"""
PROTECTED = """
    select quote_ident(unnest(protected_columns)) from audit.tables where "table" = %s::regclass
"""
GRANTED = "grant select, insert, update on all tables in schema app to app_api"

Tenant = Mapping[str, str | UUID]
"""What stands in the tenant column of somebody's rows, whichever of the columns it is."""


@pytest.fixture
def tenants(admin: psycopg.Connection) -> dict[str, Tenant]:
    """Insert a row of Alice's and one of Bob's into every table that has a resource; return whose they are."""
    for user in ("alice", "bob"):
        insert_examples(admin, user)
        admin.execute(
            """
            insert into app.idempotency_keys (user_id, key, fingerprint, status, location, etag, body)
            values (%s, 'the-key', '', 201, '/', '""', '{}')
            """,
            [user],
        )
    workspaces = admin.execute("select user_id, workspace_id from app.members").fetchall()
    admin.commit()
    return {user: {"user_id": user, "workspace_id": workspace_id} for user, workspace_id in workspaces}


@pytest.fixture
def tables(admin: psycopg.Connection, tenants: dict[str, Tenant]) -> dict[str, str]:
    """Return the tenant column of each of these tables."""
    del tenants
    with_rows = [table for table, rows in rows_of(admin, "bob").items() if rows]
    columns = {table: column for table in with_rows for (column,) in admin.execute(COLUMN, [table])}
    admin.commit()
    return columns


@pytest.fixture
def api_role(url: Url) -> Iterator[psycopg.Connection]:
    """Return a session of the API's role, as an SQL injection would have one."""
    with psycopg.connect(url("app_api")) as connection:
        yield connection


def everything(admin: psycopg.Connection) -> list[dict[str, list[tuple[object, ...]]]]:
    """Return all rows of both."""
    rows = [rows_of(admin, user) for user in ("alice", "bob")]
    admin.commit()
    return rows


def context_of(tenant: Tenant) -> str:
    """Return the SQL that lets somebody act, in the workspace that is theirs."""
    return "; ".join(f"set local app.{column} = '{value}'" for column, value in tenant.items())


def run(connection: psycopg.Connection, statement: str, context: str) -> int:
    """Run a statement in a transaction of its own; return how many rows it returned or changed."""
    connection.execute(context.encode())
    try:
        count = connection.execute(statement.encode()).rowcount
    except psycopg.Error:
        connection.rollback()
        raise
    connection.commit()
    return count


def assert_refused(connection: psycopg.Connection, statement: str, context: str = "", match: str | None = None) -> None:
    """See that somebody has no right to run a statement."""
    with pytest.raises(errors.InsufficientPrivilege, match=match):
        run(connection, statement, context)


def blind_updates(admin: psycopg.Connection, table: str) -> list[str]:
    """Return an update of each column that the API may update, which reads no column of the rows that it changes.

    Of one that does, PostgreSQL applies the policies for SELECT too, and they would hide a missing one for UPDATE.
    """
    columns = admin.execute(UPDATABLE, [table]).fetchall()
    admin.commit()
    return [f"update {table} set {column} = (select {column} from {table} limit 1)" for (column,) in columns]


# ---- every table -------------------------------------------------------------------------------------


def test_every_table_of_tenants_is_tried_and_no_attempt_gets_through(admin: psycopg.Connection, url: Url) -> None:
    async def attempts() -> Proof:
        connection = await asyncpg.connect(url("app_api"))
        try:
            return await prove(connection)
        finally:
            await connection.close()

    proof = asyncio.run(attempts())

    assert proof.findings == []
    assert {attempt.table for attempt in proof.attempts} == {"session", *tenant_tables(admin)}


def test_every_table_of_tenants_is_tried_below(admin: psycopg.Connection, tables: dict[str, str]) -> None:
    assert [*tables] == tenant_tables(admin)


# ---- with a caller, and no `where` -------------------------------------------------------------------


def test_alice_reads_only_her_rows_whatever_the_query_forgets(
    api_role: psycopg.Connection, tables: dict[str, str], tenants: dict[str, Tenant], subtests: pytest.Subtests
) -> None:
    alice, bob = tenants["alice"], tenants["bob"]
    for table, column in tables.items():
        for query in (
            f"select {column} from {table}",
            f"select {column} from {table} where {column} = '{bob[column]}' or true",
            f"select t.{column} from {table} as t left join {table} as u on u.{column} <> t.{column}",
            f"select {column} from {table} group by {column} having count(*) > 0",
        ):
            with subtests.test(query):
                api_role.execute(context_of(alice).encode())
                assert [name for (name,) in api_role.execute(query.encode())] == [alice[column]]
                api_role.rollback()


def test_alice_copies_only_her_rows(
    api_role: psycopg.Connection, tables: dict[str, str], tenants: dict[str, Tenant]
) -> None:
    api_role.execute(context_of(tenants["alice"]).encode())
    for table, column in tables.items():
        with api_role.cursor().copy(f"copy (select {column} from {table}) to stdout".encode()) as out:
            assert [name for (name,) in out.rows()] == [str(tenants["alice"][column])]


def test_alice_changes_only_her_rows_whatever_the_statement_forgets(
    admin: psycopg.Connection,
    api_role: psycopg.Connection,
    tables: dict[str, str],
    tenants: dict[str, Tenant],
    subtests: pytest.Subtests,
) -> None:
    bobs = rows_of(admin, "bob")
    admin.commit()
    as_alice = context_of(tenants["alice"])
    for table in sorted(tables, key="app.workspaces".__eq__):  # the last one: its row takes all that is in it along
        for statement in (*blind_updates(admin, table), f"delete from {table}"):
            with subtests.test(statement):
                if statement == "delete from app.members":
                    with pytest.raises(errors.CheckViolation, match="at least one owner"):
                        run(api_role, statement, as_alice)
                else:
                    assert run(api_role, statement, as_alice) == 1
    assert rows_of(admin, "bob") == bobs
    assert not any(rows_of(admin, "alice")[table] for table in tables)


def test_nobody_adds_a_row_for_another_tenant_or_gives_one_away_even_where_the_columns_are_granted(
    admin: psycopg.Connection,
    api_role: psycopg.Connection,
    tables: dict[str, str],
    tenants: dict[str, Tenant],
    subtests: pytest.Subtests,
) -> None:
    """The policy holds by itself: with the grants gone wrong, WITH CHECK is what is left."""
    admin.execute(GRANTED)
    admin.commit()
    as_alice, bob = context_of(tenants["alice"]), tenants["bob"]
    for table, column in tables.items():
        with subtests.test(table):
            move = f"update {table} set {column} = '{bob[column]}'"
            if table == "app.invitations":  # which nobody updates: there is no policy for that
                assert run(api_role, move, as_alice) == 0
            else:
                assert_refused(api_role, move, as_alice, "row-level security")
            plant = f"create temporary table planted as table {table}; update planted set {column} = '{bob[column]}'"
            assert_refused(api_role, f"insert into {table} table planted", f"{as_alice}; {plant}", "row-level security")


def test_what_only_the_database_sets_cannot_be_set_and_no_table_be_emptied_or_opened(
    admin: psycopg.Connection,
    api_role: psycopg.Connection,
    tables: dict[str, str],
    tenants: dict[str, Tenant],
    subtests: pytest.Subtests,
) -> None:
    before = everything(admin)
    for table in tables:
        statements = [f"truncate {table}", f"alter table {table} disable row level security", f"drop table {table}"]
        for (column,) in admin.execute(PROTECTED, [table]).fetchall():
            statements += [f"update {table} set {column} = default", f"insert into {table} ({column}) values (default)"]
        admin.commit()
        for statement in statements:
            with subtests.test(statement):
                assert_refused(api_role, statement, context_of(tenants["alice"]))
    assert everything(admin) == before


@pytest.mark.parametrize(
    "statement",
    [
        "drop policy tasks_belong_to_their_user on app.tasks",
        "create table app.another ()",
        "create table public.another ()",
        "alter function app.current_user_id() immutable",
        "merge into app.tasks t using (select true) s on true when matched then delete",  # names rows it cannot see
        "set role app_owner",
        "set session authorization postgres",
        "insert into migrations.alembic_version values ('9999')",
    ],
)
def test_the_role_of_the_api_has_no_right_to(api_role: psycopg.Connection, statement: str) -> None:
    assert_refused(api_role, statement, "set local app.user_id = 'alice'")


def test_the_owner_of_a_table_is_bound_by_its_policies_too(
    url: Url, tables: dict[str, str], tenants: dict[str, Tenant]
) -> None:
    """It sees what has expired (partywall clean), and the caller's own membership, which decides all others."""
    seen = {"app.idempotency_keys": 0, "app.members": 1}
    with psycopg.connect(url("app_migrator")) as migrator:
        migrator.execute("set role app_owner")
        for table in tables:
            assert run(migrator, f"select from {table}", context_of(tenants["alice"])) == seen.get(table, 0), table


def test_the_auditor_reads_no_row_of_a_tenant(url: Url, tables: dict[str, str]) -> None:
    with psycopg.connect(url("app_auditor")) as auditor:
        for table in tables:
            assert_refused(auditor, f"select from {table}", "set local app.user_id = 'alice'")


# ---- without a caller --------------------------------------------------------------------------------


@pytest.fixture(params=NOBODY)
def nobody(request: pytest.FixtureRequest, tenants: dict[str, Tenant]) -> str:
    """Return the SQL of a context without a caller."""
    return NOBODY[request.param].format(**tenants["alice"])


def test_without_a_caller_there_are_no_rows_to_read_or_change(
    admin: psycopg.Connection, api_role: psycopg.Connection, tables: dict[str, str], nobody: str
) -> None:
    before = everything(admin)
    for table in tables:
        assert run(api_role, f"select 1 from {table}", nobody) == 0, table
        assert run(api_role, f"delete from {table}", nobody) == 0, table
        for statement in blind_updates(admin, table):
            assert run(api_role, statement, nobody) == 0, statement
    assert everything(admin) == before


def test_without_a_caller_adding_a_row_is_an_error(
    api_role: psycopg.Connection, tables: dict[str, str], nobody: str
) -> None:
    for table in tables:
        with pytest.raises((errors.InsufficientPrivilege, errors.NotNullViolation)):
            run(api_role, f"insert into {table} default values", nobody)


def test_a_plan_made_for_alice_shows_bob_his_own_rows(
    api_role: psycopg.Connection, tables: dict[str, str], tenants: dict[str, Tenant]
) -> None:
    """A context function marked IMMUTABLE would be folded into the plan, together with Alice."""
    api_role.execute("set plan_cache_mode = force_generic_plan")
    for table, column in tables.items():
        for user in ("alice", "bob", "alice"):
            api_role.execute(context_of(tenants[user]).encode())
            rows = api_role.execute(f"select {column} from {table}".encode(), prepare=True).fetchall()
            assert rows == [(tenants[user][column],)]
            api_role.commit()
