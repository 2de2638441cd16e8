"""audit.explain_access(): why a row is hidden, told without showing the row and without giving anybody a right."""

import re
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from tests.support.database import Url

OWN = "(user_id = app.current_user_id())"
ODD = '"My App"."Odd ""Table"""'
ODD_TABLE = f"""
    create schema "My App" authorization app_owner;
    create table {ODD} (user_id varchar(99) not null, id uuid, primary key (user_id, id));
    alter table {ODD} owner to app_owner;
    alter table {ODD} enable row level security, force row level security;
    create policy "for: (all)" on {ODD} to app_api using (user_id = app.current_user_id()) with check (false);
    create policy explained on {ODD} for select to app_owner using (current_setting('audit.explaining', true) = 'on');
    grant usage on schema "My App" to app_api;
    grant select on {ODD} to app_api;
"""

Step = tuple[str, bool | None, str | None]
Explain = Callable[..., list[Step]]
POLICY = "permissive policy tasks_belong_to_their_user for all"


@pytest.fixture
def rows(admin: psycopg.Connection) -> dict[str, UUID]:
    """The id of one task of Alice's and one of Bob's. Charlie has none."""
    tasks = admin.execute("""
        insert into app.tasks (user_id, text) values ('alice', 'alice''s secret'), ('bob', 'bob''s secret')
        returning user_id, id
    """).fetchall()
    admin.commit()
    return dict(tasks)


@pytest.fixture(params=["postgres", "app_migrator"])
def asker(request: pytest.FixtureRequest, admin: psycopg.Connection, url: Url) -> Iterator[psycopg.Connection]:
    """Who has a row explained: a superuser, and a member of app_owner."""
    if request.param == "postgres":
        yield admin
        return
    with psycopg.connect(url(request.param)) as connection:
        yield connection


def explain(asker: psycopg.Connection, user: str | None, row: UUID, table: str = "app.tasks") -> list[Step]:
    query = "select step, holds, expression from audit.explain_access(%s, %s::regclass, %s)"
    return asker.execute(query, [user, table, row]).fetchall()


def change(admin: psycopg.Connection, statements: str) -> None:
    admin.execute(statements)
    admin.commit()


def explained(user: str, *, exists: bool = True, own: bool | None, sees: bool) -> list[Step]:
    """Return what is said about a task of a healthy database."""
    return [
        ("the row exists", exists, None),
        ("app_api was granted select", True, None),
        ("row-level security applies to app_api", True, None),
        (f"{POLICY}: using", own, OWN),
        (f"{POLICY}: with check", own, OWN),
        (f"{user} sees the row", sees, None),
    ]


def test_everybody_sees_their_own_row(asker: psycopg.Connection, rows: dict[str, UUID]) -> None:
    assert explain(asker, "alice", rows["alice"]) == explained("alice", own=True, sees=True)
    assert explain(asker, "bob", rows["bob"]) == explained("bob", own=True, sees=True)


def test_nobody_sees_a_row_of_another(asker: psycopg.Connection, rows: dict[str, UUID]) -> None:
    assert explain(asker, "alice", rows["bob"]) == explained("alice", own=False, sees=False)
    assert explain(asker, "bob", rows["alice"]) == explained("bob", own=False, sees=False)
    assert explain(asker, "Charlie's", rows["alice"]) == explained('"Charlie\'s"', own=False, sees=False)
    assert explain(asker, None, rows["alice"]) == explained("a session without a caller", own=False, sees=False)


def test_a_row_that_does_not_exist_says_so(asker: psycopg.Connection) -> None:
    assert explain(asker, "alice", uuid4()) == explained("alice", exists=False, own=None, sees=False)


def test_two_rows_with_one_id_are_told_apart_by_their_owner(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    admin.execute("insert into app.tasks (id, user_id, text) values (%s, 'bob', 'the same id')", [rows["alice"]])
    admin.commit()
    assert explain(asker, "bob", rows["alice"]) == explained("bob", own=True, sees=True)
    assert explain(asker, "alice", rows["alice"]) == explained("alice", own=True, sees=True)


def test_without_row_level_security_everybody_sees_every_row(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(admin, "alter table app.tasks disable row level security")
    steps = explain(asker, "alice", rows["bob"])
    assert ("row-level security applies to app_api", False, None) in steps
    assert (f"{POLICY}: using", False, OWN) in steps
    assert steps[-1] == ("alice sees the row", True, None)


def test_without_a_grant_nobody_sees_a_row(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(admin, "revoke select on app.tasks from app_api")
    steps = explain(asker, "alice", rows["alice"])
    assert steps[1:] == [
        ("app_api was granted select", False, None),
        *explained("alice", own=True, sees=False)[2:],
    ]


def test_every_clause_is_asked_and_only_those_that_read_decide(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(
        admin,
        """
        create policy "a: peep" on app.tasks for delete to app_api using (true);
        create policy open on app.tasks as restrictive for select to app_api using (not completed);
        create policy short on app.tasks as restrictive for update using (tasks.text < 'z') with check (text is null);
        update app.tasks set completed = user_id = 'bob';
        """,
    )
    others = [
        ('permissive policy "a: peep" for delete: using', True, "true"),
        (f"{POLICY}: using", True, OWN),
        (f"{POLICY}: with check", True, OWN),
    ]
    short = [
        ("restrictive policy short for update: using", True, "(text < 'z'::text)"),
        ("restrictive policy short for update: with check", False, "(text IS NULL)"),
    ]
    restrictive = "restrictive policy open for select: using"
    assert explain(asker, "alice", rows["alice"])[3:] == [
        *others,
        (restrictive, True, "(NOT completed)"),
        *short,
        ("alice sees the row", True, None),
    ]
    assert explain(asker, "bob", rows["bob"])[3:] == [
        *others,
        (restrictive, False, "(NOT completed)"),
        *short,
        ("bob sees the row", False, None),
    ]


def test_a_row_of_an_odd_table_is_explained_too(admin: psycopg.Connection, asker: psycopg.Connection) -> None:
    row = uuid4()
    change(admin, ODD_TABLE)
    odd = sql.Identifier("My App", 'Odd "Table"')
    admin.execute(sql.SQL("insert into {} (user_id, id) values ('alice', %s)").format(odd), [row])
    admin.commit()

    [*_, using, check, sees] = explain(asker, "alice", row, ODD)
    expression = "((user_id)::text = app.current_user_id())"
    assert using == ('permissive policy "for: (all)" for all: using', True, expression)
    assert check == ('permissive policy "for: (all)" for all: with check', False, "false")
    assert sees == ("alice sees the row", True, None)


@pytest.mark.parametrize(
    "relation",
    ["migrations.alembic_version", "pg_class", "scratch.numbered", "scratch.viewed"],
)
def test_what_is_not_a_table_of_tenants_is_a_clear_error(
    admin: psycopg.Connection, asker: psycopg.Connection, relation: str
) -> None:
    change(
        admin,
        """
        create schema scratch authorization app_owner;
        create table scratch.numbered (user_id text, id int);
        create view scratch.viewed as select * from app.tasks;
        """,
    )
    with pytest.raises(errors.RaiseException, match=re.escape(f"{relation} is not a tenant table")):
        explain(asker, "alice", uuid4(), relation)


@pytest.mark.parametrize(
    "alone",
    [
        "drop policy tasks_are_explained_by_their_owner on app.tasks",
        "alter policy tasks_are_explained_by_their_owner on app.tasks using (user_id = app.current_user_id())",
        "alter policy tasks_are_explained_by_their_owner on app.tasks using (false)",
    ],
)
def test_a_member_of_the_owner_whom_no_policy_lets_in_is_told_what_is_missing(
    admin: psycopg.Connection, url: Url, rows: dict[str, UUID], alone: str
) -> None:
    """It would be a lie that the row does not exist."""
    change(admin, alone)
    with psycopg.connect(url("app_migrator")) as migrator:
        with pytest.raises(errors.RaiseException, match="app_owner cannot read a row") as caught:
            explain(migrator, "alice", rows["alice"])
        assert "docs/dba.md" in (caught.value.diag.message_hint or "")
    assert explain(admin, "alice", rows["bob"]) == explained("alice", own=False, sees=False)


SETTINGS = """
    select current_user, session_user, current_setting('role'), current_setting('search_path'),
        nullif(current_setting('app.user_id', true), ''), nullif(current_setting('audit.explaining', true), '')
"""


@pytest.mark.parametrize("before", ["", "set local app.user_id = 'charlie'; set local audit.explaining = 'off'"])
def test_it_leaves_everything_as_it_was(asker: psycopg.Connection, rows: dict[str, UUID], before: str) -> None:
    asker.execute(before or "select")
    settings = asker.execute(SETTINGS).fetchone()

    explain(asker, "alice", rows["bob"])
    assert asker.execute(SETTINGS).fetchone() == settings

    with pytest.raises(errors.RaiseException), asker.transaction():
        explain(asker, "alice", rows["bob"], "pg_class")
    assert asker.execute(SETTINGS).fetchone() == settings


def test_it_shows_no_column_of_the_row(asker: psycopg.Connection, rows: dict[str, UUID]) -> None:
    shown = repr([*explain(asker, "charlie", rows["alice"]), *explain(asker, "charlie", rows["bob"])])
    for value in ("alice", "bob", "secret", str(rows["alice"]), str(rows["bob"])):
        assert value not in shown


def spy(body: str) -> str:
    """Return the SQL that puts a function with `body` into the policy."""
    return f"""
        create schema scratch authorization app_owner;
        create function scratch.spy() returns boolean language plpgsql as $$ begin {body} return true; end $$;
        alter function scratch.spy() owner to app_owner;
        create policy spied on app.tasks as restrictive for select to app_api using (scratch.spy());
    """


def test_a_policy_runs_with_the_rights_of_the_owner_and_nobody_elses(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(admin, spy("perform set_config('test.ran_as', current_user::text, false);"))
    assert explain(asker, "alice", rows["alice"])[-1] == ("alice sees the row", True, None)
    assert asker.execute("select current_setting('test.ran_as')").fetchone() == ("app_owner",)


def test_a_cast_of_the_row_cannot_borrow_a_superusers_rights(admin: psycopg.Connection, rows: dict[str, UUID]) -> None:
    change(
        admin,
        f"""
        {spy("")}
        create function scratch.told(app.tasks) returns text language plpgsql as
            $$ begin perform set_config('test.ran_as', current_user::text, false); return format('%s', $1); end $$;
        create cast (app.tasks as text) with function scratch.told(app.tasks) as implicit;
    """,
    )
    assert explain(admin, "alice", rows["alice"])[-1] == ("alice sees the row", True, None)
    assert admin.execute("select current_setting('test.ran_as', true)").fetchone() in {(None,), ("",)}


@pytest.mark.parametrize(
    "grab",
    [
        "perform set_config('role', 'none', true);",
        "reset role;",
        "set local role postgres;",
        "set local session authorization postgres;",
        "perform pg_catalog.pg_read_file('PG_VERSION');",
        "perform rolpassword from pg_catalog.pg_authid;",
    ],
)
def test_a_policy_cannot_borrow_a_superusers_rights(
    admin: psycopg.Connection, rows: dict[str, UUID], grab: str
) -> None:
    change(admin, spy(grab))
    with pytest.raises(errors.InsufficientPrivilege):
        explain(admin, "alice", rows["alice"])


def test_a_policy_sees_no_other_row_of_the_table_while_it_is_explained(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(admin, spy("perform set_config('test.saw', count(*)::text, false) from app.tasks;"))
    explain(asker, "alice", rows["alice"])
    assert asker.execute("select current_setting('test.saw')").fetchone() == ("0",)


# ---- rows that are shared -----------------------------------------------------------------------------

PLANTS = UUID("5eed0000-0000-4000-8000-0000000000bb")
SHARED = """
    insert into app.workspaces (workspace_id, name) values
        ('5eed0000-0000-4000-8000-0000000000aa', 'Garden'), ('5eed0000-0000-4000-8000-0000000000ab', 'House');
    insert into app.members (workspace_id, user_id, role) values
        ('5eed0000-0000-4000-8000-0000000000aa', 'alice', 'owner'),
        ('5eed0000-0000-4000-8000-0000000000aa', 'bob', 'viewer'),
        ('5eed0000-0000-4000-8000-0000000000aa', 'charlie', 'editor'),
        ('5eed0000-0000-4000-8000-0000000000ab', 'dora', 'owner');
    insert into app.workspace_tasks (workspace_id, id, user_id, text) values
        ('5eed0000-0000-4000-8000-0000000000aa', '5eed0000-0000-4000-8000-0000000000bb', 'alice', 'Water the plants');
"""
WRITES = {f"workspace_tasks_are_{done}_by_editors" for done in ("added", "changed", "deleted")}


@pytest.mark.parametrize(
    ("user", "role", "writes", "sees"),
    [
        ("alice", "owner", True, True),
        ("charlie", "editor", True, True),
        ("bob", "viewer", False, True),
        ("dora", "none", False, False),
        ("nobody", "none", False, False),
    ],
)
def test_a_row_of_a_workspace_is_explained_by_the_role_that_one_has_there(
    admin: psycopg.Connection, asker: psycopg.Connection, user: str, role: str, *, writes: bool, sees: bool
) -> None:
    """Also to whom acts in another workspace, or in none: that of the row is meant."""
    change(admin, SHARED)
    steps = explain(asker, user, PLANTS, "app.workspace_tasks")
    call = None if role == "none" else f"app.current_workspace_id('{role}')"
    assert steps[3] == (f"role of {user} in the workspace of the row: {role}", role != "none", call)
    held = {policy: holds for step, holds, _ in steps for policy in WRITES if policy in step}
    assert held == dict.fromkeys(WRITES, writes)
    assert steps[-1] == (f"{user} sees the row", sees, None)


def test_without_the_row_it_is_not_known_which_role_one_has(
    admin: psycopg.Connection, asker: psycopg.Connection
) -> None:
    change(admin, SHARED)
    steps = explain(asker, "alice", uuid4(), "app.workspace_tasks")
    assert steps[3] == ("role of alice in the workspace of the row: unknown", None, None)
    assert steps[-1] == ("alice sees the row", False, None)


def test_rows_of_several_tables_are_explained_in_one_session(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(admin, SHARED)
    for _ in range(2):
        assert explain(asker, "bob", PLANTS, "app.workspace_tasks")[-1] == ("bob sees the row", True, None)
        assert explain(asker, "bob", rows["bob"])[-1] == ("bob sees the row", True, None)


def test_whoever_is_removed_has_no_role(admin: psycopg.Connection, asker: psycopg.Connection) -> None:
    change(admin, SHARED)
    change(admin, "delete from app.members where user_id = 'bob'")
    [*_, role, _, _, _, _, using, sees] = explain(asker, "bob", PLANTS, "app.workspace_tasks")
    assert role[:2] == ("role of bob in the workspace of the row: none", False)
    assert (using[1], sees[1]) == (False, False)


def test_the_workspace_that_one_acts_in_is_left_as_it_was(admin: psycopg.Connection, asker: psycopg.Connection) -> None:
    change(admin, SHARED)
    asker.execute("set local app.workspace_id = '5eed0000-0000-4000-8000-0000000000cc'")
    explain(asker, "bob", PLANTS, "app.workspace_tasks")
    setting = asker.execute("select current_setting('app.workspace_id')").fetchone()
    assert setting == ("5eed0000-0000-4000-8000-0000000000cc",)


# ---- the owner's policy shows nothing to anybody else -----------------------------------------------


@pytest.mark.usefixtures("rows")
def test_the_api_cannot_open_the_owners_policy_not_even_through_a_function_of_the_owner(
    admin: psycopg.Connection, url: Url
) -> None:
    change(
        admin,
        """
        create schema scratch authorization app_owner;
        grant usage on schema scratch to app_api;
        create function scratch.all_tasks() returns setof app.tasks
        language plpgsql security definer set search_path = ''
        as $$
        begin
            perform set_config('audit.explaining', 'on', true);
            return query select * from app.tasks;
        end
        $$;
        alter function scratch.all_tasks() owner to app_owner;
        grant execute on function scratch.all_tasks() to app_api;
        """,
    )
    with psycopg.connect(url("app_api")) as api:
        api.execute("set local audit.explaining = 'on'")
        assert api.execute("select * from app.tasks").fetchall() == []
        assert api.execute("select * from scratch.all_tasks()").fetchall() == []
        api.execute("set local app.user_id = 'alice'")
        assert [row[1] for row in api.execute("select * from app.tasks")] == ["alice"]
        assert api.execute("select * from scratch.all_tasks()").fetchall() == []


@pytest.mark.usefixtures("rows")
def test_a_member_of_the_owner_sees_rows_only_while_it_explains(url: Url) -> None:
    with psycopg.connect(url("app_migrator")) as migrator:
        for role in ("app_migrator", "app_owner"):
            migrator.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            assert migrator.execute("select * from app.tasks").fetchall() == []
            assert migrator.execute("update app.tasks set text = 'x'").rowcount == 0
