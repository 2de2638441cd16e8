"""How one becomes a member, leaves and is removed: with an owner left, also when two do it at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import asyncpg
import psycopg
import pytest
from psycopg import errors, sql

from db.pool import Pool
from db.session import Session
from tests.support.members import (
    EDITOR,
    HOME,
    NOWHERE,
    OWNER,
    TABLES,
    VIEWER,
    WORK,
    Caller,
    begin,
    count,
    everything,
    roles,
    run,
)
from tests.support.waiting import wait_for

ISOLATION = ["read committed", "repeatable read", "serializable"]
INVITE = "insert into app.invitations (role, token_hash, expires_at) values ('owner', sha256('{}'), 'infinity')"
LEAVE = "delete from app.members where user_id = app.current_user_id()"
STEP_DOWN = "update app.members set role = 'viewer' where user_id = app.current_user_id()"
REMOVE = "delete from app.members where user_id = '{}'"
DEMOTE = "update app.members set role = 'viewer' where user_id = '{}'"


@pytest.fixture
def two_owners(admin: psycopg.Connection, api: psycopg.Connection) -> psycopg.Connection:
    """Let Bob be an owner of Home too. Return a connection of the API's."""
    admin.execute("update app.members set role = 'owner' where user_id = 'bob'")
    admin.commit()
    return api


def owners(admin: psycopg.Connection) -> set[str]:
    """Return who owns Home."""
    return {user for user, role in roles(admin).items() if role == "owner"}


def meet(
    admin: psycopg.Connection,
    first: tuple[psycopg.Connection, Caller, str],
    second: tuple[psycopg.Connection, Caller, str],
    isolation: str,
) -> type[psycopg.Error] | None:
    """Run two statements so that the second waits for the first. Return how the second fails, if it does."""

    def run_second() -> type[psycopg.Error] | None:
        connection, _, statement = second
        try:
            connection.execute(statement.encode())
            connection.execute("commit")
        except psycopg.Error as error:
            connection.execute("rollback")
            return type(error)
        return None

    for connection, caller, _ in (first, second):
        begin(connection, caller, isolation)
        connection.execute("select count(*) from app.members")  # whatever is committed from now on is not in a snapshot
    connection, _, statement = first
    connection.execute(statement.encode())
    with ThreadPoolExecutor() as threads:
        outcome = threads.submit(run_second)
        wait_for(admin, 1)
        connection.execute("commit")
        return outcome.result()


# ---- creating a workspace -----------------------------------------------------------------------------


@pytest.mark.parametrize("acting_in", [None, HOME, WORK, NOWHERE])
def test_whoever_creates_a_workspace_is_its_owner_and_nobody_else_is_a_member(
    admin: psycopg.Connection, api: psycopg.Connection, acting_in: UUID | None
) -> None:
    [(new, name, role, created, updated)] = run(
        api, Caller("charlie", acting_in), "select * from app.create_workspace('Club')"
    )
    assert isinstance(new, UUID)
    assert (name, role, created) == ("Club", "owner", updated)
    assert roles(admin, new) == {"charlie": "owner"}
    assert run(
        api, Caller("charlie", new), "select workspace_id, name, created_at, updated_at from app.workspaces"
    ) == [(new, "Club", created, updated)]
    assert run(api, Caller("alice", new), "select from app.workspaces") == []


@pytest.mark.parametrize(
    ("name", "constraint"),
    [
        ("", "workspaces_name_length"),
        (" \t\n", "workspaces_name_not_blank"),
        ("x" * 101, "workspaces_name_length"),
        ("é" * 101, "workspaces_name_length"),
        (None, None),
    ],
)
def test_a_workspace_without_a_name_is_refused_by_a_constraint_and_leaves_nothing(
    admin: psycopg.Connection, api: psycopg.Connection, name: str | None, constraint: str | None
) -> None:
    before = everything(admin)
    begin(api, OWNER)
    with pytest.raises((errors.CheckViolation, errors.NotNullViolation)) as refused:
        api.execute("select * from app.create_workspace(%s)", [name])
    api.execute("rollback")
    assert refused.value.diag.constraint_name == constraint
    begin(api, OWNER)
    with pytest.raises((errors.CheckViolation, errors.NotNullViolation)):
        api.execute("update app.workspaces set name = %s", [name])
    api.execute("rollback")
    assert everything(admin) == before


@pytest.mark.parametrize(
    "name", ["'; drop table app.tasks; --", "é" * 100, "x" * 100, "\u202e", "🏠", "\\", "a\nb", "%s"]
)
def test_a_name_is_kept_as_it_is(api: psycopg.Connection, name: str) -> None:
    begin(api, Caller("alice", None))
    [(new,)] = api.execute("select id from app.create_workspace(%s)", [name]).fetchall()
    assert api.execute("select name from app.workspaces where workspace_id = %s", [new]).fetchall() == [(name,)]
    api.execute("rollback")


def test_without_a_caller_there_is_no_new_workspace(admin: psycopg.Connection, api: psycopg.Connection) -> None:
    before = everything(admin)
    for nobody in ("", "set local app.user_id = ''"):
        api.execute(f"begin; {nobody}".encode())
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            api.execute("select app.create_workspace('Club')")
        api.execute("rollback")
    assert everything(admin) == before


def test_there_is_never_a_workspace_without_an_owner_also_when_something_fails_in_between(
    admin: psycopg.Connection, api: psycopg.Connection
) -> None:
    admin.execute("alter table app.members add constraint full_now check (user_id <> 'mallory') not valid")
    admin.commit()
    with pytest.raises(errors.CheckViolation):
        run(api, Caller("mallory", None), "select app.create_workspace('Club')")
    assert admin.execute("select from app.workspaces where name = 'Club'").fetchall() == []
    admin.commit()


def test_a_new_workspace_is_seen_by_nobody_before_it_has_its_owner(
    admin: psycopg.Connection, api: psycopg.Connection
) -> None:
    begin(api, Caller("charlie", None))
    api.execute("select app.create_workspace('Club')")
    assert admin.execute("select from app.workspaces where name = 'Club'").fetchall() == []
    api.execute("commit")
    [(number,)] = admin.execute(
        "select count(*) from app.workspaces join app.members using (workspace_id) where name = 'Club'"
    )
    assert number == 1
    admin.commit()


# ---- an owner is always left --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        LEAVE,
        STEP_DOWN,
        "update app.members set role = 'editor'",
        "delete from app.members",
        "delete from app.members where role = 'owner'",
        "update app.members set role = case user_id when 'bob' then 'owner' else 'viewer' end where user_id <> 'bob'",
        "with gone as (delete from app.members where user_id = 'alice' returning 1) select from gone",
        "merge into app.members using (values (1)) as one on user_id = 'alice' when matched then delete",
        """merge into app.members using (values (1)) as one on user_id = 'alice'
            when matched then update set role = 'viewer'""",
    ],
)
def test_the_last_owner_neither_leaves_nor_steps_down(
    admin: psycopg.Connection, api: psycopg.Connection, statement: str
) -> None:
    before = everything(admin)
    with pytest.raises(errors.CheckViolation) as refused:
        run(api, OWNER, statement)
    assert refused.value.diag.constraint_name == "members_keep_an_owner"
    assert everything(admin) == before


@pytest.mark.parametrize(
    "statement",
    [
        "update app.members set role = 'viewer'",
        "update app.members set role = 'viewer' where role = 'owner'",
        "delete from app.members",
        "delete from app.members where user_id in ('alice', 'bob')",
        """with her as (delete from app.members where user_id = 'alice' returning 1),
            him as (delete from app.members where user_id = 'bob' returning 1) select from her, him""",
        """with her as (update app.members set role = 'viewer' where user_id = 'alice' returning 1),
            him as (delete from app.members where user_id = 'bob' returning 1) select from her, him""",
    ],
)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_one_statement_does_not_remove_all_owners(
    admin: psycopg.Connection, two_owners: psycopg.Connection, statement: str, order: str
) -> None:
    admin.execute(f"create temporary table old as select * from app.members where workspace_id = '{HOME}'")
    admin.execute(
        f"alter table app.members disable trigger user; delete from app.members where workspace_id = '{HOME}'"
    )
    admin.execute(f"insert into app.members select * from old order by user_id {order}".encode())
    admin.execute("alter table app.members enable trigger user")
    admin.commit()
    with pytest.raises((errors.CheckViolation, errors.SerializationFailure)):
        run(two_owners, OWNER, statement)
    assert owners(admin) == {"alice", "bob"}


def test_of_two_owners_one_leaves_and_the_other_cannot(
    admin: psycopg.Connection, two_owners: psycopg.Connection
) -> None:
    run(two_owners, OWNER, LEAVE)
    with pytest.raises(errors.CheckViolation):
        run(two_owners, EDITOR, LEAVE)
    assert roles(admin) == {"bob": "owner", "charlie": "viewer"}


def test_an_owner_removes_an_owner_and_makes_another(admin: psycopg.Connection, two_owners: psycopg.Connection) -> None:
    run(two_owners, OWNER, REMOVE.format("bob"))
    run(two_owners, OWNER, "update app.members set role = 'owner' where user_id = 'charlie'")
    run(two_owners, VIEWER, DEMOTE.format("alice"))
    assert roles(admin) == {"alice": "viewer", "charlie": "owner"}


def test_an_owner_of_another_workspace_does_not_count(admin: psycopg.Connection, api: psycopg.Connection) -> None:
    """Bob owns Work."""
    for statement in (LEAVE, STEP_DOWN):
        with pytest.raises(errors.CheckViolation):
            run(api, OWNER, statement)
    assert owners(admin) == {"alice"}


@pytest.mark.parametrize("role", ["Owner", "OWNER", "admin", "", " owner", "owner "])
def test_a_role_that_is_none_is_refused(api: psycopg.Connection, role: str) -> None:
    with pytest.raises(errors.CheckViolation) as refused:
        run(api, OWNER, f"update app.members set role = '{role}' where user_id = 'bob'")
    assert refused.value.diag.constraint_name == "members_role_known"


def test_a_superuser_cannot_remove_the_last_owner_either(admin: psycopg.Connection, workspaces: None) -> None:
    del workspaces
    for statement in ("delete from app.members where role = 'owner'", "update app.members set role = 'viewer'"):
        with pytest.raises(errors.CheckViolation):
            admin.execute(statement)
        admin.rollback()


# Two owners at the same moment: what each does.
TOGETHER = {
    "both leave": (LEAVE, LEAVE),
    "both step down": (STEP_DOWN, STEP_DOWN),
    "one leaves, the other steps down": (LEAVE, STEP_DOWN),
    "one steps down, the other leaves": (STEP_DOWN, LEAVE),
    "each removes the other": (REMOVE.format("bob"), REMOVE.format("alice")),
    "each demotes the other": (DEMOTE.format("bob"), DEMOTE.format("alice")),
    "one removes, the other demotes": (REMOVE.format("bob"), DEMOTE.format("alice")),
    "one leaves, the other removes all others": (LEAVE, "delete from app.members where user_id <> 'alice'"),
}


@pytest.mark.parametrize("isolation", ISOLATION)
@pytest.mark.parametrize("what", TOGETHER)
def test_of_two_owners_at_the_same_moment_the_second_is_refused(
    admin: psycopg.Connection,
    two_owners: psycopg.Connection,
    another: psycopg.Connection,
    what: str,
    isolation: str,
) -> None:
    first, second = TOGETHER[what]
    error = meet(admin, (two_owners, OWNER, first), (another, EDITOR, second), isolation)
    assert error in {errors.CheckViolation, errors.SerializationFailure}
    assert len(owners(admin)) == 1


@pytest.mark.parametrize("isolation", ISOLATION)
def test_with_a_third_owner_two_leave_at_the_same_moment_or_one_tries_again(
    admin: psycopg.Connection, two_owners: psycopg.Connection, another: psycopg.Connection, isolation: str
) -> None:
    admin.execute("update app.members set role = 'owner' where user_id = 'charlie'")
    admin.commit()
    error = meet(admin, (two_owners, OWNER, LEAVE), (another, EDITOR, LEAVE), isolation)
    if isolation == "read committed":
        assert error is None
    else:
        assert error is errors.SerializationFailure
        run(another, EDITOR, LEAVE)
    assert roles(admin) == {"charlie": "owner"}


@pytest.mark.parametrize("isolation", ISOLATION)
def test_who_is_made_an_owner_while_leaving_does_not_leave_the_workspace_without(
    admin: psycopg.Connection, api: psycopg.Connection, another: psycopg.Connection, isolation: str
) -> None:
    """Bob leaves as an editor, while Alice makes him an owner and leaves."""
    promoted = f"update app.members set role = 'owner' where user_id = 'bob'; {LEAVE}"
    assert meet(admin, (api, OWNER, promoted), (another, EDITOR, LEAVE), isolation)
    assert owners(admin) == {"bob"}


@pytest.mark.parametrize("isolation", ISOLATION)
def test_whoever_was_removed_while_removing_somebody_removes_nobody(
    admin: psycopg.Connection, two_owners: psycopg.Connection, another: psycopg.Connection, isolation: str
) -> None:
    admin.execute("update app.members set role = 'owner' where user_id = 'charlie'")
    admin.commit()
    first, second = (two_owners, OWNER, REMOVE.format("bob")), (another, EDITOR, REMOVE.format("charlie"))
    assert meet(admin, first, second, isolation) is errors.SerializationFailure
    assert roles(admin) == {"alice": "owner", "charlie": "owner"}


# ---- what an owner leaves behind ----------------------------------------------------------------------


@pytest.mark.parametrize("statement", [LEAVE, STEP_DOWN, REMOVE.format("alice"), DEMOTE.format("alice")])
def test_who_ceases_to_be_an_owner_takes_their_open_invitations_along(
    admin: psycopg.Connection, two_owners: psycopg.Connection, statement: str
) -> None:
    run(two_owners, OWNER, INVITE.format("accepted"))
    run(two_owners, Caller("dave", None), "select app.accept_invitation(sha256('accepted'))")
    run(two_owners, EDITOR, INVITE.format("of bob"))
    caller = OWNER if "current_user_id" in statement else EDITOR
    run(two_owners, caller, statement)
    left = admin.execute(
        "select user_id, accepted_by from app.invitations where workspace_id = %s order by 1", [HOME]
    ).fetchall()
    assert left == [("alice", "dave"), ("bob", None)]
    assert admin.execute("select user_id from app.invitations where workspace_id = %s", [WORK]).fetchall() == [("bob",)]
    admin.commit()


def test_one_statement_for_several_owners_leaves_no_invitation_of_theirs(
    admin: psycopg.Connection, two_owners: psycopg.Connection
) -> None:
    """As it was: after Alice's own row, those of the others were not hers to look after any more."""
    admin.execute("update app.members set role = 'owner' where user_id = 'charlie'")
    admin.commit()
    run(two_owners, EDITOR, INVITE.format("of bob"))
    with pytest.raises(errors.SerializationFailure, match="ceased to be an owner"):
        run(two_owners, OWNER, "update app.members set role = 'viewer' where user_id in ('alice', 'bob')")
    run(two_owners, OWNER, "update app.members set role = 'viewer' where user_id in ('charlie', 'bob')")
    assert (
        admin.execute("select from app.invitations where user_id = 'bob' and workspace_id = %s", [HOME]).rowcount == 0
    )
    admin.commit()


@pytest.mark.parametrize("isolation", ISOLATION)
@pytest.mark.parametrize("how", [REMOVE.format("bob"), DEMOTE.format("bob")])
@pytest.mark.parametrize("first", ["the invitation", "the removal"])
def test_who_invites_while_they_cease_to_be_an_owner_leaves_no_invitation(
    admin: psycopg.Connection,
    two_owners: psycopg.Connection,
    another: psycopg.Connection,
    first: str,
    how: str,
    isolation: str,
) -> None:
    """Or they would come back by it."""
    invites, removes = (two_owners, EDITOR, INVITE.format("of bob")), (another, OWNER, how)
    order = (invites, removes) if first == "the invitation" else (removes, invites)
    if meet(admin, *order, isolation) and first == "the invitation":
        run(another, OWNER, how)
    open_ones = admin.execute("select from app.invitations where user_id = 'bob' and workspace_id = %s", [HOME])
    assert (owners(admin), open_ones.rowcount) == ({"alice"}, 0)


def test_what_somebody_added_stays_when_they_leave(api: psycopg.Connection) -> None:
    run(api, EDITOR, LEAVE)
    assert run(api, OWNER, "select user_id from app.workspace_tasks order by 1") == [("alice",), ("bob",)]


# ---- whoever is removed -------------------------------------------------------------------------------

SEEN = {
    "select from app.workspace_tasks": 2,
    "select from app.members": 3,
    "select from app.workspaces": 1,
    "select from app.current_memberships()": 1,
}


@pytest.mark.parametrize("how", ["simple", "prepared", "force_generic_plan"])
def test_a_removed_member_sees_nothing_from_the_next_statement_on_of_the_same_transaction(
    api: psycopg.Connection, another: psycopg.Connection, how: str
) -> None:
    if how == "force_generic_plan":
        api.execute("set plan_cache_mode = force_generic_plan")
    for _ in range(2):  # so that the plans are those of before
        begin(api, EDITOR)
        for statement, rows in SEEN.items():
            assert api.execute(statement.encode(), prepare=how != "simple").rowcount == rows
        api.execute("commit")
    begin(api, EDITOR)
    for statement, rows in SEEN.items():
        assert api.execute(statement.encode(), prepare=how != "simple").rowcount == rows

    run(another, OWNER, REMOVE.format("bob"))

    for statement in SEEN:
        assert api.execute(statement.encode(), prepare=how != "simple").rowcount == 0, statement
    for statement in ("update app.workspace_tasks set text = 'Mine'", "delete from app.workspace_tasks"):
        assert api.execute(statement.encode()).rowcount == 0
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
        api.execute("insert into app.workspace_tasks (text) values ('Mine')")
    api.execute("rollback")


def test_a_demoted_member_changes_nothing_from_the_next_statement_on(
    api: psycopg.Connection, another: psycopg.Connection
) -> None:
    begin(api, EDITOR)
    assert api.execute("update app.workspace_tasks set completed = true where false").rowcount == 0
    run(another, OWNER, DEMOTE.format("bob"))
    assert api.execute("select from app.workspace_tasks").rowcount == 2
    assert api.execute("update app.workspace_tasks set completed = true").rowcount == 0
    api.execute("rollback")


def test_whoever_leaves_sees_nothing_from_the_next_statement_on(api: psycopg.Connection) -> None:
    begin(api, EDITOR)
    api.execute(LEAVE)
    assert [api.execute(f"select workspace_id from {table}".encode()).rowcount for table in TABLES] == [0, 0, 0, 0]
    api.execute("rollback")


def test_a_cursor_that_was_opened_before_the_removal_reads_on_to_its_end(
    api: psycopg.Connection, another: psycopg.Connection
) -> None:
    """It is a statement that began before. It ends with the transaction; the API opens none."""
    begin(api, EDITOR)
    api.execute("declare tasks cursor for select text from app.workspace_tasks")
    run(another, OWNER, REMOVE.format("bob"))
    assert api.execute("fetch all from tasks").rowcount == 2
    api.execute("declare later cursor for select text from app.workspace_tasks")
    assert api.execute("fetch all from later").rowcount == 0
    api.execute("rollback")


@pytest.mark.anyio
@pytest.mark.usefixtures("workspaces", "way")
async def test_no_pooled_connection_remembers_a_membership(pool: Pool, admin: psycopg.Connection) -> None:
    session = Session(pool, "bob", read_only=False, workspace_id=HOME)
    query = "select count(*) from app.workspace_tasks where workspace_id = $1"
    for _ in range(6):  # from the sixth on the plan may be a generic one
        assert await session.fetchval(query, HOME) == 2
    async with session.transaction() as transaction:
        assert await transaction.fetchval(query, HOME) == 2
        admin.execute("delete from app.members where user_id = 'bob' and role = 'editor'")
        admin.commit()
        assert await transaction.fetchval(query, HOME) == 0
    assert await session.fetchval(query, HOME) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await session.fetchval("insert into app.workspace_tasks (text) values ('Mine')")
    assert await Session(pool, "alice", read_only=True, workspace_id=HOME).fetchval(query, HOME) == 2


# ---- deleting a workspace -----------------------------------------------------------------------------


def test_a_workspace_is_deleted_with_everything_in_it_and_with_nothing_else(
    admin: psycopg.Connection, two_owners: psycopg.Connection
) -> None:
    before = everything(admin)
    begin(two_owners, OWNER)
    assert two_owners.execute("delete from app.workspaces").rowcount == 1
    assert everything(admin) == before, "nothing is visible before the commit"
    two_owners.execute("commit")
    after = everything(admin)
    for table in TABLES:
        assert after[table] == [row for row in before[table] if str(WORK) in str(row)]
        assert after[table]


def test_a_deletion_that_is_rolled_back_takes_nothing(
    admin: psycopg.Connection, two_owners: psycopg.Connection
) -> None:
    before = everything(admin)
    assert count(two_owners, OWNER, "delete from app.workspaces") == 1
    assert everything(admin) == before


def test_a_superuser_deletes_a_workspace_too(admin: psycopg.Connection, workspaces: None) -> None:
    del workspaces
    assert admin.execute(sql.SQL("delete from app.workspaces where workspace_id = {}").format(str(HOME))).rowcount == 1
    assert roles(admin) == {}


# What somebody does while an owner deletes the workspace, and the other way round.
MEANWHILE = {
    "adds a task": (EDITOR, "insert into app.workspace_tasks (text) values ('Late')"),
    "changes a task": (EDITOR, "update app.workspace_tasks set completed = true"),
    "leaves": (EDITOR, LEAVE),
    "invites": (OWNER, INVITE.format("late")),
    "renames it": (OWNER, "update app.workspaces set name = 'Late'"),
    "accepts an invitation": (Caller("dave", None), "select app.accept_invitation(sha256('home'))"),
}


@pytest.mark.parametrize("isolation", ISOLATION[:2])
@pytest.mark.parametrize("first", ["the deletion", "the other"])
@pytest.mark.parametrize("what", MEANWHILE)
def test_whatever_happens_while_a_workspace_is_deleted_nothing_of_it_is_left(
    admin: psycopg.Connection,
    api: psycopg.Connection,
    another: psycopg.Connection,
    what: str,
    first: str,
    isolation: str,
) -> None:
    deletes = (api, OWNER, "delete from app.workspaces")
    does = (another, *MEANWHILE[what])
    if (
        meet(admin, *((deletes, does) if first == "the deletion" else (does, deletes)), isolation)
        and first == "the other"
    ):
        run(api, OWNER, "delete from app.workspaces")
    assert all(str(HOME) not in str(row) for rows in everything(admin).values() for row in rows)


# ---- names that somebody else created -----------------------------------------------------------------


def test_the_triggers_look_names_up_nowhere_but_in_pg_catalog(
    admin: psycopg.Connection, two_owners: psycopg.Connection
) -> None:
    """While a workspace is being deleted they run as app_owner, in a session of the caller's."""
    admin.execute("""
        create schema evil;
        create table evil.seen (who text, query text);
        create function evil.equals(text, text) returns boolean language plpgsql as $$
        begin
            insert into evil.seen values (current_user, current_query());
            return $1 operator(pg_catalog.=) $2;
        end $$;
        create function evil.equals(uuid, uuid) returns boolean language sql
            as 'select evil.equals(pg_catalog.uuid_send($1)::text, pg_catalog.uuid_send($2)::text)';
        create operator evil.= (function = evil.equals, leftarg = text, rightarg = text);
        create operator evil.= (function = evil.equals, leftarg = uuid, rightarg = uuid);
        grant usage on schema evil to public;
        grant insert on evil.seen to public;
    """)
    admin.commit()
    for statement in (INVITE.format("evil"), REMOVE.format("bob"), "delete from app.workspaces"):
        begin(two_owners, OWNER)
        two_owners.execute("set local search_path = evil, pg_catalog")
        two_owners.execute(statement.replace("user_id = '", "user_id operator(pg_catalog.=) '").encode())
        two_owners.execute("commit")
    assert admin.execute("select * from evil.seen").fetchall() == []
    admin.commit()
