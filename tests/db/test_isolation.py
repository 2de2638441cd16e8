"""The policies in SQL, on every table of tenants: with a caller, without one, and whatever a statement forgets.

Through HTTP: tests/http/test_isolation.py. Tables without a resource are tried by `prove`.
"""

import asyncio
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest
from psycopg import errors, sql

from db.audit.prove import Proof, prove
from tests.support.database import Url
from tests.support.tables import insert_examples, rows_of, tenant_tables

pytestmark = pytest.mark.usefixtures("tables")

UNDER = {"alice": "set local app.user_id = 'alice'", "nobody": "", "nobody any more": "set local app.user_id = ''"}
UPDATABLE = """
    select quote_ident(attname) from pg_attribute
    where attrelid = %s::regclass and attnum > 0 and has_column_privilege('app_api', attrelid, attnum, 'update')
"""
PROTECTED = """
    select quote_ident(unnest(protected_columns)) from audit.tables where "table" = %s::regclass
"""
GRANTED = "grant insert, update on all tables in schema app to app_api"


@pytest.fixture
def tables(admin: psycopg.Connection) -> list[str]:
    """Insert a row of Alice's and one of Bob's into every table that has a resource; return those tables."""
    for user in ("alice", "bob"):
        insert_examples(admin, user)
        admin.execute(
            """
            insert into app.idempotency_keys (user_id, key, fingerprint, status, location, etag, body)
            values (%s, 'the-key', '', 201, '/', '""', '{}')
            """,
            [user],
        )
    with_rows = [table for table, rows in rows_of(admin, "bob").items() if rows]
    admin.commit()
    return with_rows


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


def run(connection: psycopg.Connection, statement: str, context: str = "alice") -> int:
    """Run a statement in a transaction of its own; return how many rows it returned or changed."""
    connection.execute((UNDER[context] or "select").encode())
    count = connection.execute(statement.encode()).rowcount
    connection.commit()
    return count


def assert_refused(connection: psycopg.Connection, statement: str, match: str | None = None) -> None:
    """See that Alice has no right to run a statement."""
    connection.execute(UNDER["alice"].encode())
    with pytest.raises(errors.InsufficientPrivilege, match=match):
        connection.execute(statement.encode())
    connection.rollback()


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


def test_the_tables_of_the_resources_are_among_those_that_are_tried_below(tables: list[str]) -> None:
    assert {"app.tasks", "app.idempotency_keys"} <= {*tables}


# ---- with a caller, and no `where` -------------------------------------------------------------------


def test_alice_reads_only_her_rows_whatever_the_query_forgets(
    api_role: psycopg.Connection, tables: list[str], subtests: pytest.Subtests
) -> None:
    for table in tables:
        for query in (
            f"select user_id from {table}",
            f"select user_id from {table} where user_id = 'bob' or true",
            f"select t.user_id from {table} as t left join {table} as u on u.user_id <> t.user_id",
            f"select min(user_id) from {table} group by user_id",
        ):
            with subtests.test(query):
                api_role.execute(UNDER["alice"].encode())
                assert [name for (name,) in api_role.execute(query.encode())] == ["alice"]
                api_role.rollback()


def test_alice_copies_only_her_rows(api_role: psycopg.Connection, tables: list[str]) -> None:
    api_role.execute(UNDER["alice"].encode())
    for table in tables:
        with api_role.cursor().copy(f"copy (select user_id from {table}) to stdout".encode()) as out:
            assert [name for (name,) in out.rows()] == ["alice"]


def test_alice_changes_only_her_rows_whatever_the_statement_forgets(
    admin: psycopg.Connection, api_role: psycopg.Connection, tables: list[str], subtests: pytest.Subtests
) -> None:
    bobs = rows_of(admin, "bob")
    admin.commit()
    for table in tables:
        for statement in (*blind_updates(admin, table), f"delete from {table}"):
            with subtests.test(statement):
                assert run(api_role, statement) == 1
    assert rows_of(admin, "bob") == bobs
    assert not any(rows_of(admin, "alice")[table] for table in tables)


def test_nobody_adds_a_row_for_another_user_or_gives_one_away_even_where_the_columns_are_granted(
    admin: psycopg.Connection, api_role: psycopg.Connection, tables: list[str], subtests: pytest.Subtests
) -> None:
    """The policy holds by itself: with the grants gone wrong, WITH CHECK is what is left."""
    admin.execute(GRANTED)
    admin.commit()
    for table in tables:
        with subtests.test(table):
            assert_refused(api_role, f"update {table} set user_id = 'bob'", "row-level security")
            planted = f"create temporary table planted as table {table}; update planted set user_id = 'bob'"
            api_role.execute(f"{UNDER['alice']}; {planted}".encode())
            with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
                api_role.execute(f"insert into {table} table planted".encode())
            api_role.rollback()


def test_what_only_the_database_sets_cannot_be_set_and_no_table_be_emptied_or_opened(
    admin: psycopg.Connection, api_role: psycopg.Connection, tables: list[str], subtests: pytest.Subtests
) -> None:
    before = everything(admin)
    for table in tables:
        statements = [f"truncate {table}", f"alter table {table} disable row level security", f"drop table {table}"]
        for (column,) in admin.execute(PROTECTED, [table]).fetchall():
            statements += [f"update {table} set {column} = default", f"insert into {table} ({column}) values (default)"]
        admin.commit()
        for statement in statements:
            with subtests.test(statement):
                assert_refused(api_role, statement)
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
    assert_refused(api_role, statement)


def test_the_owner_of_a_table_is_bound_by_its_policies_too(url: Url, tables: list[str]) -> None:
    with psycopg.connect(url("app_migrator")) as migrator:
        migrator.execute("set role app_owner")
        for table in {*tables} - {"app.idempotency_keys"}:  # whose owner sees what has expired: partywall clean
            assert run(migrator, f"select from {table}") == 0, table


def test_the_auditor_reads_no_row_of_a_tenant(url: Url, tables: list[str]) -> None:
    with psycopg.connect(url("app_auditor")) as auditor:
        for table in tables:
            assert_refused(auditor, f"select from {table}")


# ---- without a caller --------------------------------------------------------------------------------


@pytest.mark.parametrize("context", ["nobody", "nobody any more"])
def test_without_a_caller_there_are_no_rows_to_read_or_change(
    admin: psycopg.Connection, api_role: psycopg.Connection, tables: list[str], context: str
) -> None:
    before = everything(admin)
    for table in tables:
        assert run(api_role, f"select from {table}", context) == 0, table
        assert run(api_role, f"delete from {table}", context) == 0, table
        for statement in blind_updates(admin, table):
            assert run(api_role, statement, context) == 0, statement
    assert everything(admin) == before


@pytest.mark.parametrize("context", ["nobody", "nobody any more"])
def test_without_a_caller_adding_a_row_is_an_error(
    api_role: psycopg.Connection, tables: list[str], context: str
) -> None:
    for table in tables:
        with pytest.raises((errors.InsufficientPrivilege, errors.NotNullViolation)):
            run(api_role, f"insert into {table} default values", context)
        api_role.rollback()


def test_a_plan_made_for_alice_shows_bob_his_own_rows(api_role: psycopg.Connection, tables: list[str]) -> None:
    """A context function marked IMMUTABLE would be folded into the plan, together with Alice."""
    api_role.execute("set plan_cache_mode = force_generic_plan")
    for table in tables:
        for user in ("alice", "bob", "alice"):
            api_role.execute(sql.SQL("set local app.user_id = {}").format(user))
            rows = api_role.execute(f"select user_id from {table}".encode(), prepare=True).fetchall()
            assert rows == [(user,)]
            api_role.commit()
