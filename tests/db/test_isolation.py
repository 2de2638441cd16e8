"""The walls, on three levels: through HTTP, in SQL with a context, in SQL without one."""

from collections.abc import Iterator

import httpx2
import psycopg
import pytest
from psycopg import errors, sql

from tests.support.database import Url

pytestmark = pytest.mark.usefixtures("both")

TASK = {"text": "Water the plants", "completed": True, "order": 7}
UNDER = {"alice": "set local app.user_id = 'alice'", "nobody": "", "nobody any more": "set local app.user_id = ''"}


@pytest.fixture
def both(admin: psycopg.Connection) -> psycopg.Connection:
    """Alice and Bob own three tasks each; the superuser sees them all."""
    admin.execute(
        """
        insert into app.tasks (user_id, text, "order")
        select owner, owner || '''s task', position
        from unnest(array['alice', 'bob']) as owner, generate_series(1, 3) as position
        """
    )
    admin.commit()
    return admin


@pytest.fixture
def api_role(url: Url) -> Iterator[psycopg.Connection]:
    """A session of the API's role, as an SQL injection would have one."""
    with psycopg.connect(url("app_api")) as connection:
        yield connection


def everything(admin: psycopg.Connection) -> list[tuple[object, ...]]:
    rows = admin.execute("select * from app.tasks order by user_id, id").fetchall()
    admin.commit()
    return rows


# ---- through HTTP ------------------------------------------------------------------------------------


def test_nobody_lists_what_is_not_theirs(alice: httpx2.Client, bob: httpx2.Client, charlie: httpx2.Client) -> None:
    assert {task["user_id"] for task in alice.get("/tasks").json()["items"]} == {"alice"}
    assert {task["user_id"] for task in bob.get("/tasks").json()["items"]} == {"bob"}
    assert charlie.get("/tasks").json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_task_of_another_user_does_not_exist(alice: httpx2.Client, bob: httpx2.Client, method: str) -> None:
    path = alice.post("/tasks", json=TASK).headers["location"]
    before = alice.get(path).json()

    answer = bob.request(method, path, json=None if method in {"GET", "DELETE"} else TASK)

    assert answer.status_code == 404
    assert alice.get(path).json() == before


def test_the_owner_comes_from_the_token_and_from_nowhere_else(alice: httpx2.Client) -> None:
    assert alice.post("/tasks", json={**TASK, "user_id": "bob"}).status_code == 422
    assert alice.post("/tasks", json=TASK, headers={"X-User-Id": "bob"}).json()["user_id"] == "alice"


def test_a_request_that_only_reads_cannot_write_whatever_it_runs_into(
    alice: httpx2.Client, both: psycopg.Connection
) -> None:
    both.execute("""
        create sequence reads;
        grant usage on sequence reads to app_api;
        create policy count_reads on app.tasks as restrictive for select to app_api using (nextval('reads') > 0);
    """)
    both.commit()

    assert alice.get("/tasks").status_code == 500
    assert both.execute("select is_called from reads").fetchone() == (False,)


# ---- raw SQL as the API's role, with Alice's context and no `where` ----------------------------------


def test_alice_reads_only_her_rows_whatever_the_query_forgets(api_role: psycopg.Connection) -> None:
    api_role.execute(UNDER["alice"])
    for query in (
        "select user_id from app.tasks",
        "select user_id from app.tasks for update",
        "select user_id from app.tasks where user_id = 'bob' or true",
        "select distinct t.user_id from app.tasks t join app.tasks u on true",
        "copy (select user_id from app.tasks) to stdout",
    ):
        if query.startswith("copy"):
            with api_role.cursor().copy(query) as out:
                seen = {row[0] for row in out.rows()}
        else:
            seen = {row[0] for row in api_role.execute(query)}
        assert seen == {"alice"}, query


@pytest.mark.parametrize(
    "statement",
    [
        "update app.tasks set text = 'mine now'",
        "delete from app.tasks",
        "merge into app.tasks t using (select true) s on t.text <> '' when matched then update set text = 'mine now'",
        "with gone as (delete from app.tasks returning *) select * from gone",
    ],
)
def test_alice_changes_only_her_rows_whatever_the_statement_forgets(
    both: psycopg.Connection, api_role: psycopg.Connection, statement: str
) -> None:
    bobs = [row for row in everything(both) if row[1] == "bob"]

    api_role.execute(UNDER["alice"])
    assert api_role.execute(statement).rowcount == 3
    api_role.commit()

    assert [row for row in everything(both) if row[1] == "bob"] == bobs


@pytest.mark.parametrize(
    "statement",
    [
        "insert into app.tasks (user_id, text) values ('bob', 'planted')",
        "insert into app.tasks (user_id, text) values ('alice', 'planted')",
        "insert into app.tasks (id, text) values (gen_random_uuid(), 'planted')",
        "insert into app.tasks (text, created_at) values ('backdated', 'epoch')",
        "insert into app.tasks (text, completed_at) values ('backdated', 'epoch')",
        "update app.tasks set user_id = 'bob'",
        "update app.tasks set user_id = 'alice'",
        "update app.tasks set id = gen_random_uuid()",
        "update app.tasks set created_at = 'epoch'",
        "update app.tasks set updated_at = 'epoch'",
        "update app.tasks set completed_at = 'epoch'",
        "truncate app.tasks",
        "alter table app.tasks disable row level security",
        "drop policy tasks_belong_to_their_user on app.tasks",
        "create table app.mine ()",
        "create table public.mine ()",
        "alter function app.current_user_id() immutable",
        "merge into app.tasks t using (select true) s on true when matched then delete",  # names rows it cannot see
        "set role app_owner",
        "set session authorization postgres",
        "insert into migrations.alembic_version values ('9999')",
    ],
)
def test_the_role_of_the_api_has_no_right_to(
    both: psycopg.Connection, api_role: psycopg.Connection, statement: str
) -> None:
    before = everything(both)
    api_role.execute(UNDER["alice"])

    with pytest.raises(errors.InsufficientPrivilege):
        api_role.execute(sql.SQL(statement))
    api_role.rollback()

    assert everything(both) == before


def test_a_row_cannot_be_added_next_door_even_where_the_columns_are_granted(
    both: psycopg.Connection, api_role: psycopg.Connection
) -> None:
    """The policy holds by itself: with the grants gone wrong, WITH CHECK is what is left."""
    both.execute("grant insert, update on app.tasks to app_api")
    both.commit()
    for statement in (
        "insert into app.tasks (user_id, text) values ('bob', 'planted')",
        "update app.tasks set user_id = 'bob'",
    ):
        api_role.execute(UNDER["alice"])
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            api_role.execute(statement)
        api_role.rollback()


def test_the_owner_of_the_table_is_behind_the_wall_too(url: Url) -> None:
    with psycopg.connect(url("app_migrator")) as migrator:
        migrator.execute("set role app_owner")
        migrator.execute(UNDER["alice"])  # the policy is for the API's role alone
        assert migrator.execute("select count(*) from app.tasks").fetchone() == (0,)


def test_the_auditor_reads_no_tenant_row(url: Url) -> None:
    with psycopg.connect(url("app_auditor")) as auditor, pytest.raises(errors.InsufficientPrivilege):
        auditor.execute("set local app.user_id = 'alice'; select * from app.tasks")


# ---- no context --------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", ["nobody", "nobody any more"])
def test_without_a_context_there_are_no_rows_to_read_or_change(
    both: psycopg.Connection, api_role: psycopg.Connection, context: str
) -> None:
    before = everything(both)
    api_role.execute(UNDER[context] or "select")
    for statement in ("select * from app.tasks", "update app.tasks set text = 'x'", "delete from app.tasks"):
        assert api_role.execute(statement).rowcount == 0, statement
    api_role.commit()
    assert everything(both) == before


@pytest.mark.parametrize("context", ["nobody", "nobody any more"])
def test_without_a_context_adding_a_row_is_an_error(api_role: psycopg.Connection, context: str) -> None:
    api_role.execute(UNDER[context] or "select")
    with pytest.raises((errors.InsufficientPrivilege, errors.NotNullViolation)):
        api_role.execute("insert into app.tasks (text) values ('whose?')")


def test_a_plan_made_for_alice_shows_bob_his_own_rows(api_role: psycopg.Connection) -> None:
    """A context function marked IMMUTABLE would be folded into the plan, together with Alice."""
    api_role.execute("set plan_cache_mode = force_generic_plan")
    for user in ("alice", "bob", "alice"):
        api_role.execute(sql.SQL("set local app.user_id = {}").format(user))
        rows = api_role.execute("select user_id from app.tasks", prepare=True).fetchall()
        assert rows == [(user,)] * 3
        api_role.commit()
