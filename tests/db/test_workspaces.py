"""What the policies of a workspace promise, by role; tests/db/test_members.py is about how one becomes a member.

Every test has what an attacker would have who can run any SQL as app_api.
"""

import re
from contextlib import closing

import psycopg
import pytest
from psycopg import errors

from db.pool import Pool
from db.session import Session
from tests.support.connections import AT_ONCE
from tests.support.database import Url, alembic
from tests.support.members import (
    EDITOR,
    HOME,
    NOWHERE,
    OUTSIDER,
    OWNER,
    TABLES,
    VIEWER,
    WORK,
    WORKSPACES,
    Caller,
    begin,
    count,
    everything,
    run,
)
from tests.support.wire import Wire

CONTEXT = "select app.current_user_id(), app.requested_workspace_id()"
ROLE = """
    select case
        when app.current_workspace_id('owner') is not null then 'owner'
        when app.current_workspace_id('editor') is not null then 'editor'
        when app.current_workspace_id('viewer') is not null then 'viewer'
    end
"""
INVITE = """
    insert into app.invitations (role, token_hash, expires_at) values ('viewer', sha256('x'), now() + interval '1 day')
"""
REFUSED = -1


# ---- the session --------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("read_only", [True, False])
async def test_a_session_sets_user_and_workspace_in_its_first_message(
    url: Url,
    way: str,
    read_only: bool,  # noqa: FBT001 - a test parameter
) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            trips = []
            for workspace in (None, HOME, WORK, None):
                session = Session(pool, "alice", read_only=read_only, workspace_id=workspace)
                await session.fetch(CONTEXT)  # connects, and prepares the statement
                before = wire.round_trips
                assert [tuple(row) for row in await session.fetch(CONTEXT)] == [("alice", workspace)]
                trips.append(wire.round_trips - before)
                async with session.transaction() as transaction:
                    assert tuple(*await transaction.fetch(CONTEXT)) == ("alice", workspace)
                    assert tuple(*await transaction.fetch(CONTEXT)) == ("alice", workspace)
                trips.append(wire.round_trips - before - trips[-1])
    assert trips == [1, 3] * 4 if way == AT_ONCE else [3, 4] * 4


@pytest.mark.parametrize("wrong", ["home", "1", "*", "'' or true", f"{HOME},{WORK}"])
def test_what_is_no_id_is_an_error(api: psycopg.Connection, wrong: str) -> None:
    for table in TABLES:
        begin(api, Caller("alice", None))
        api.execute(f"set local app.workspace_id = '{wrong.replace(chr(39), chr(39) * 2)}'".encode())
        with pytest.raises(errors.InvalidTextRepresentation):
            api.execute(f"select workspace_id from {table}".encode())
        api.execute("rollback")


# ---- app.current_workspace_id() -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "role"),
    [
        (OWNER, "owner"),
        (EDITOR, "editor"),
        (VIEWER, "viewer"),
        (OUTSIDER, None),
        (Caller("alice", WORK), "viewer"),
        (Caller("alice", NOWHERE), None),
        (Caller("alice", None), None),
        (Caller("Alice"), None),
        (Caller("alice "), None),
        (Caller("%"), None),
    ],
)
def test_a_caller_has_the_role_of_its_membership_in_the_workspace_that_it_asks_for(
    api: psycopg.Connection, caller: Caller, role: str | None
) -> None:
    assert run(api, caller, ROLE) == [(role,)]


@pytest.mark.parametrize(
    "unknown", ["'Owner'", "'OWNER'", "'viewer '", "''", "'admin'", "null", "'%'", "'owner' || chr(10)"]
)
def test_a_role_that_is_none_gives_no_right(api: psycopg.Connection, unknown: str) -> None:
    assert run(api, OWNER, f"select app.current_workspace_id({unknown})") == [(None,)]


@pytest.mark.parametrize("role", ["app_api", "app_owner", "postgres"])
def test_the_functions_show_the_callers_own_memberships_whoever_calls_them(
    workspaces: None, admin: psycopg.Connection, role: str
) -> None:
    """Also a superuser, whom no policy binds: the functions run as app_owner."""
    del workspaces
    mine = "select workspace_id, role from app.current_memberships() order by role"
    admin.execute(f"set role {role}".encode())
    admin.execute("set local app.user_id = 'alice'")
    assert admin.execute(mine).fetchall() == [(HOME, "owner"), (WORK, "viewer")]
    assert admin.execute("select cardinality(app.current_workspace_ids())").fetchall() == [(2,)]
    admin.execute(f"set local app.workspace_id = '{WORK}'")
    assert admin.execute(mine).fetchall() == [(WORK, "viewer")]
    assert admin.execute("select app.current_workspace_ids()").fetchall() == [([WORK],)]
    assert admin.execute(ROLE).fetchall() == [("viewer",)]
    admin.execute("set local app.user_id = ''")
    assert admin.execute(mine).fetchall() == []
    assert admin.execute(ROLE).fetchall() == [(None,)]


def test_the_owner_of_the_tables_sees_the_callers_own_memberships_and_nothing_else(workspaces: None, url: Url) -> None:
    del workspaces
    with psycopg.connect(url("app_migrator")) as migrator:
        migrator.execute("set role app_owner")
        for table in TABLES:
            assert migrator.execute(f"select from {table}".encode()).rowcount == 0, table
        migrator.execute("set local app.user_id = 'alice'")
        assert [migrator.execute(f"select from {table}".encode()).rowcount for table in TABLES] == [0, 2, 0, 0]
        migrator.execute(f"set local app.workspace_id = '{WORK}'")
        assert migrator.execute("select workspace_id from app.members").fetchall() == [(WORK,)]
        for table in TABLES:
            column = "role" if table == "app.members" else "workspace_id"
            assert migrator.execute(f"update {table} set {column} = {column}".encode()).rowcount == 0, table
            assert migrator.execute(f"delete from {table}".encode()).rowcount == 0, table


def test_it_works_where_an_ordinary_login_owns_everything(empty: psycopg.Connection, migrator: str) -> None:
    """A function of a superuser would pass every other test here: no policy binds it, on no table."""
    alembic(migrator, "upgrade", "head")
    empty.execute(WORKSPACES.encode(), prepare=False)
    empty.execute("set role app_api")
    for caller, role in ((OWNER, "owner"), (EDITOR, "editor"), (VIEWER, "viewer"), (OUTSIDER, None)):
        assert run(empty, caller, ROLE) == [(role,)]
    [(owner,)] = empty.execute(
        "select distinct proowner::regrole::text from pg_proc where prosecdef and pronamespace = 'app'::regnamespace"
    ).fetchall()
    assert owner == "app_owner"


def test_no_function_changes_who_is_calling_or_in_which_workspace(api: psycopg.Connection) -> None:
    begin(api, VIEWER)
    api.execute("select app.create_workspace('Club'), app.accept_invitation(sha256('work')), app.current_memberships()")
    assert api.execute(CONTEXT).fetchall() == [("charlie", HOME)]
    assert api.execute("select name from app.workspaces").fetchall() == [("Home",)]
    api.execute("rollback")


def test_without_row_security_the_functions_fail_instead_of_showing_more(api: psycopg.Connection) -> None:
    for statement in (ROLE, "select from app.current_memberships()"):
        begin(api, OWNER)
        api.execute("set local row_security = off")
        with pytest.raises(errors.InsufficientPrivilege, match="would be affected by row-level security"):
            api.execute(statement.encode())
        api.execute("rollback")


@pytest.mark.parametrize(
    ("caller", "shown", "expected"),
    [
        (OWNER, "select string_agg(workspace_id::text, ' ') from app.current_memberships()", str(HOME)),
        (OUTSIDER, "select app.current_workspace_id('viewer')::text", None),
        (VIEWER, "select app.current_workspace_id('owner')::text", None),
    ],
)
def test_a_foreign_key_of_the_callers_own_does_not_show_more(
    api: psycopg.Connection, caller: Caller, shown: str, expected: str | None
) -> None:
    """While PostgreSQL enforces a foreign key, FORCE does not apply, also not in the functions that a default calls."""
    begin(api, caller)
    api.execute(f"""
        create temporary table seen (it text);
        create function pg_temp.look() returns integer language sql volatile
            begin atomic insert into pg_temp.seen {shown}; select null::integer; end;
        create temporary table bait (id integer primary key);
        create temporary table hook (id integer default pg_temp.look() references bait on delete set default);
        insert into bait values (1);
        insert into hook values (1);
        delete from bait;
    """)
    assert api.execute("table seen").fetchall() == [(expected,)]
    api.execute("rollback")


# ---- who may do what, by role -------------------------------------------------------------------------

# How many rows the owner, the editor and the viewer of Home read or change.
RIGHTS = {
    "select from app.workspaces": (1, 1, 1),
    "update app.workspaces set name = 'Ours'": (1, 0, 0),
    "delete from app.workspaces": (1, 0, 0),
    "select from app.workspaces for update": (1, 0, 0),
    "select from app.workspaces for key share": (1, 0, 0),
    "select from app.members": (3, 3, 3),
    "update app.members set role = 'editor' where user_id <> app.current_user_id()": (2, 0, 0),
    "update app.members set role = role": (3, 0, 0),
    "update app.members set role = 'owner'": (3, 0, 0),
    "delete from app.members where user_id <> app.current_user_id()": (2, 0, 0),
    "delete from app.members where role <> 'owner'": (2, 1, 1),
    "select from app.members for update": (3, 0, 0),
    "select from app.members for key share": (3, 0, 0),
    "select workspace_id, id, user_id, role, expires_at, accepted_at, accepted_by from app.invitations": (1, 0, 0),
    INVITE: (1, REFUSED, REFUSED),
    "delete from app.invitations": (1, 0, 0),
    "select from app.workspace_tasks": (2, 2, 2),
    "insert into app.workspace_tasks (text) values ('Cook')": (1, 1, REFUSED),
    "insert into app.workspace_tasks (text) values ('Cook') returning *": (1, 1, REFUSED),
    "update app.workspace_tasks set text = 'Cook'": (2, 2, 0),
    "update app.workspace_tasks set text = text || '!'": (2, 2, 0),
    "delete from app.workspace_tasks": (2, 2, 0),
    "delete from app.workspace_tasks where user_id <> app.current_user_id() returning *": (1, 1, 0),
    "select from app.workspace_tasks for update": (2, 2, 0),
    "select from app.workspace_tasks for key share": (2, 2, 0),
    """merge into app.workspace_tasks using (values (1)) as one on text = 'Buy milk'
        when matched then delete""": (1, 1, REFUSED),
    """merge into app.workspace_tasks using (values (1)) as one on false
        when not matched then insert (text) values ('Cook')""": (1, 1, REFUSED),
}
NONE = {
    "no member": OUTSIDER,
    "a workspace that does not exist": Caller("alice", NOWHERE),
    "no workspace": Caller("alice", None),
    "nobody": None,
}


def attempt(api: psycopg.Connection, caller: Caller | None, statement: str) -> int:
    """Return how many rows a statement reads or changes; REFUSED if a policy refuses it with an error."""
    begin(api, caller or OWNER)
    if caller is None:
        api.execute("set local app.user_id = ''")
    try:
        return api.execute(statement.encode()).rowcount
    except errors.InsufficientPrivilege as error:
        assert "row violates row-level security policy" in str(error)  # noqa: PT017 - a grant is another test
        return REFUSED
    finally:
        api.execute("rollback")


def test_each_role_can_do_what_it_is_for_and_no_more(api: psycopg.Connection, subtests: pytest.Subtests) -> None:
    for statement, expected in RIGHTS.items():
        with subtests.test(statement):
            assert tuple(attempt(api, caller, statement) for caller in (OWNER, EDITOR, VIEWER)) == expected


@pytest.mark.parametrize("who", NONE)
def test_whoever_acts_in_no_workspace_of_theirs_can_do_nothing(
    admin: psycopg.Connection, api: psycopg.Connection, subtests: pytest.Subtests, who: str
) -> None:
    before = everything(admin)
    for statement, (owners, _, viewers) in RIGHTS.items():
        with subtests.test(statement):
            # Alice, who acts in none, reads the names of hers.
            names = 2 if who == "no workspace" and statement == "select from app.workspaces" else 0
            expected = REFUSED if viewers == REFUSED and "insert" in statement else names
            assert owners, "nobody can do it at all"
            assert attempt(api, NONE[who], statement) == expected
    assert everything(admin) == before


def test_whoever_acts_in_no_workspace_reads_which_are_theirs_and_no_more(api: psycopg.Connection) -> None:
    nowhere = Caller("charlie", None)
    assert run(api, nowhere, "select name from app.workspaces") == [("Home",)]
    assert run(api, nowhere, "select user_id, role from app.current_memberships()") == [("charlie", "viewer")]
    for table in TABLES[1:]:
        assert count(api, nowhere, f"select from {table}") == 0, table
    assert run(api, Caller("dave", None), "select from app.workspaces") == []


@pytest.mark.parametrize(
    "caller", [Caller("alice", HOME), Caller("alice", WORK), Caller("bob", HOME), Caller("bob", WORK)]
)
def test_acting_in_one_workspace_shows_nothing_of_another_even_to_a_member_of_both(
    api: psycopg.Connection, caller: Caller
) -> None:
    for relation in (
        "app.workspaces",
        "app.members",
        "app.invitations",
        "app.workspace_tasks",
        "app.current_memberships()",
    ):
        for condition in ("true", f"workspace_id in ('{HOME}', '{WORK}')", "workspace_id is not null or true"):
            found = run(api, caller, f"select distinct workspace_id from {relation} where {condition}")
            assert {row[0] for row in found} <= {caller.workspace_id}, (relation, condition)
    found = run(
        api, caller, "select w.workspace_id from app.workspaces as w full join app.members as m on true group by 1"
    )
    assert found == [(caller.workspace_id,)]


# ---- what nobody can do -------------------------------------------------------------------------------

NOT_GRANTED = [
    "insert into app.workspaces (name) values ('Mine')",
    f"insert into app.workspaces (workspace_id, name) values ('{NOWHERE}', 'Mine')",
    f"update app.workspaces set workspace_id = '{NOWHERE}'",
    "update app.workspaces set created_at = now()",
    f"insert into app.members (workspace_id, user_id, role) values ('{WORK}', 'charlie', 'owner')",
    f"insert into app.members (workspace_id, user_id, role) values ('{HOME}', 'dave', 'viewer') on conflict do nothing",
    f"update app.members set workspace_id = '{WORK}'",
    "update app.members set user_id = 'dave'",
    "update app.members set joined_at = now()",
    "merge into app.members using (values (1)) as one on false when not matched then insert (user_id) values ('dave')",
    "insert into app.invitations (workspace_id) values (default)",
    "insert into app.invitations (user_id, role, token_hash, expires_at) values ('bob', 'owner', sha256(''), now())",
    "insert into app.invitations (accepted_by) values ('bob')",
    "update app.invitations set role = 'owner'",
    "update app.invitations set expires_at = 'infinity'",
    "update app.invitations set accepted_at = null, accepted_by = null",
    "update app.invitations set token_hash = sha256('known')",
    "select * from app.invitations",
    "select token_hash from app.invitations",
    "select from app.invitations where token_hash is not null",
    "select from app.invitations order by token_hash",
    "select i from app.invitations as i",
    "select to_json(i) from app.invitations as i",
    "delete from app.invitations returning token_hash",
    f"{INVITE} returning token_hash",
    f"{INVITE} on conflict (token_hash) do nothing",
    f"{INVITE} on conflict (token_hash) do update set role = 'owner'",
    "copy app.invitations to stdout",
    f"insert into app.workspace_tasks (workspace_id, text) values ('{WORK}', 'Planted')",
    "insert into app.workspace_tasks (workspace_id, text) values (default, 'Planted')",
    "insert into app.workspace_tasks (user_id, text) values ('bob', 'Planted')",
    "insert into app.workspace_tasks (id, text) values (gen_random_uuid(), 'Planted')",
    f"update app.workspace_tasks set workspace_id = '{WORK}'",
    "update app.workspace_tasks set workspace_id = default",
    "update app.workspace_tasks set user_id = 'bob'",
    "update app.workspace_tasks set created_at = now()",
    *(f"truncate {table} cascade" for table in TABLES),
    *(f"alter table {table} no force row level security" for table in TABLES),
    "create policy mine on app.members to app_api using (true)",
    "drop trigger members_keep_an_owner_who_leaves on app.members",
    "alter table app.members disable trigger all",
    "alter function app.current_workspace_id(text) immutable",
    "create or replace function app.current_workspace_id(at_least text) returns uuid language sql return null::uuid",
    "select app.keep_an_owner()",
    "create table public.mine (workspace_id uuid references app.workspaces)",
    "create temporary view seen with (security_invoker = false) as select token_hash from app.invitations; table seen",
    "set local session_replication_role = replica",
    "set local role app_owner",
]


def test_nobody_has_the_right_not_even_an_owner(
    admin: psycopg.Connection, api: psycopg.Connection, subtests: pytest.Subtests
) -> None:
    before = everything(admin)
    for statement in NOT_GRANTED:
        with subtests.test(statement):
            with pytest.raises(errors.InsufficientPrivilege) as refused:
                run(api, OWNER, statement)
            assert re.search("permission denied|must be (owner|able)", str(refused.value))
    assert everything(admin) == before


BEYOND = {
    "make oneself a member": (
        OUTSIDER,
        f"insert into app.members (workspace_id, user_id, role) values ('{WORK}', 'charlie', 'viewer')",
    ),
    "make somebody a member of one's own workspace": (
        OWNER,
        f"insert into app.members (workspace_id, user_id, role) values ('{HOME}', 'dave', 'viewer')",
    ),
    # Not `where user_id = 'alice'`: if it reads a column, SELECT's policy refuses it too, and hides a missing one here.
    "move all members": (OWNER, f"update app.members set workspace_id = '{WORK}'"),
    "create a workspace without an owner": (OWNER, "insert into app.workspaces (name) values ('Mine')"),
    "change the id of a workspace": (OWNER, f"update app.workspaces set workspace_id = '{NOWHERE}'"),
    "move a task to a workspace where one is a viewer": (
        OWNER,
        f"update app.workspace_tasks set workspace_id = '{WORK}'",
    ),
    "move a task to a workspace that one owns": (EDITOR, f"update app.workspace_tasks set workspace_id = '{WORK}'"),
    "add a task to a workspace that one owns, and does not act in": (
        EDITOR,
        f"insert into app.workspace_tasks (workspace_id, text) values ('{WORK}', 'Planted')",
    ),
    "add a task by knowing an id": (
        OUTSIDER,
        f"insert into app.workspace_tasks (workspace_id, text) values ('{WORK}', 'Planted')",
    ),
    "invite oneself": (
        OUTSIDER,
        f"""insert into app.invitations (workspace_id, role, token_hash, expires_at)
        values ('{WORK}', 'owner', sha256('mine'), 'infinity')""",
    ),
    "invite to a workspace that one owns, and does not act in": (
        EDITOR,
        f"""insert into app.invitations (workspace_id, role, token_hash, expires_at)
        values ('{WORK}', 'owner', sha256('mine'), 'infinity')""",
    ),
}


def test_with_every_right_granted_the_policies_still_refuse_to(
    admin: psycopg.Connection, api: psycopg.Connection, subtests: pytest.Subtests
) -> None:
    """The policy holds by itself: with the grants gone wrong, WITH CHECK is what is left."""
    admin.execute("grant insert, update on all tables in schema app to app_api")
    admin.commit()
    before = everything(admin)
    for what, (caller, statement) in BEYOND.items():
        with (
            subtests.test(what),
            pytest.raises(errors.InsufficientPrivilege, match="new row violates row-level security policy"),
        ):
            run(api, caller, statement)
    assert everything(admin) == before


def test_with_every_right_granted_nobody_changes_an_invitation_or_a_role_that_is_not_theirs_to_give(
    admin: psycopg.Connection, api: psycopg.Connection
) -> None:
    admin.execute("grant select, update on all tables in schema app to app_api")
    admin.commit()
    assert count(api, OWNER, "update app.invitations set role = 'owner'") == 0
    for caller in (EDITOR, VIEWER, OUTSIDER):
        assert count(api, caller, "update app.members set role = 'owner', user_id = 'mallory'") == 0
        assert count(api, caller, "select token_hash from app.invitations") == 0


def test_a_task_says_who_added_it_and_when_whoever_changes_it(api: psycopg.Connection) -> None:
    [(added_by, workspace)] = run(
        api, EDITOR, "insert into app.workspace_tasks (text) values ('Cook') returning user_id, workspace_id"
    )
    assert (added_by, workspace) == ("bob", HOME)
    changed = "update app.workspace_tasks set completed = true where text = 'Cook' returning {}"
    assert run(api, OWNER, changed.format("user_id, completed_at = updated_at")) == [("bob", True)]


def test_a_plan_made_for_one_caller_is_right_for_the_next(api: psycopg.Connection) -> None:
    api.execute("set plan_cache_mode = force_generic_plan")
    expected: list[tuple[Caller, int]] = [
        (OWNER, 2),
        (OUTSIDER, 0),
        (Caller("alice", WORK), 1),
        (Caller("alice", None), 0),
        (VIEWER, 2),
    ]
    for caller, rows in expected * 2:
        begin(api, caller)
        assert api.execute("select from app.workspace_tasks", prepare=True).rowcount == rows
        api.execute("commit")


def outcomes(api: psycopg.Connection, caller: Caller) -> list[str]:
    """Return what PostgreSQL says to each of the statements above, word by word."""
    found = []
    for statement in (*RIGHTS, f"select app.accept_invitation(sha256('{caller.workspace_id}'))"):
        begin(api, caller)
        try:
            found.append(str(api.execute(statement.encode()).rowcount))
        except psycopg.Error as error:
            found.append(str(error))
        api.execute("rollback")
    return found


def test_a_workspace_is_not_told_from_one_that_does_not_exist(api: psycopg.Connection) -> None:
    assert outcomes(api, OUTSIDER) == outcomes(api, Caller("charlie", NOWHERE))


def test_locks_tell_nobody_outside_that_a_row_exists(admin: psycopg.Connection, api: psycopg.Connection) -> None:
    """No statement waits for a row that a policy hides."""
    expected = outcomes(api, OUTSIDER)
    api.execute("set lock_timeout = '1ms'")
    for table in TABLES:
        admin.execute(f"select from {table} for update".encode())
    assert outcomes(api, OUTSIDER) == expected
    assert any("lock timeout" in outcome for outcome in outcomes(api, OWNER)), "the locks are not held"
