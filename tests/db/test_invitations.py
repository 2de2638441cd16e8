"""What app.accept_invitation() promises: the one invitation that was named by its token, once, and for the caller."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from tests.support.members import EDITOR, HOME, OWNER, WORK, Caller, begin, everything, roles, run
from tests.support.waiting import wait_for

ISOLATION = ["read committed", "repeatable read", "serializable"]
ACCEPT = "select app.accept_invitation(sha256('home'))"
DAVE, ERIN = Caller("dave", None), Caller("erin", None)
NOT_OPEN = {
    "made up": "select",
    "expired": "update app.invitations set created_at = '-infinity', expires_at = now() - interval '1 day'",
    "expired in this moment": "update app.invitations set created_at = '-infinity', expires_at = clock_timestamp()",
    "accepted": "update app.invitations set accepted_at = now(), accepted_by = 'somebody'",
    "accepted by the same": "update app.invitations set accepted_at = now(), accepted_by = 'dave'",
    "revoked": "delete from app.invitations",
    "of a deleted workspace": "delete from app.workspaces",
    "of an owner who was removed": """
        update app.members set role = 'owner' where user_id = 'bob'; delete from app.members where user_id = 'alice'
    """,
}


def state(admin: psycopg.Connection) -> list[tuple[object, ...]]:
    """Return who has accepted the invitation to Home."""
    found = admin.execute("select accepted_by from app.invitations where workspace_id = %s", [HOME]).fetchall()
    admin.commit()
    return found


def test_whoever_has_the_token_becomes_what_the_invitation_says(
    admin: psycopg.Connection, api: psycopg.Connection
) -> None:
    before = roles(admin)
    assert run(api, DAVE, ACCEPT) == [(HOME,)]
    assert roles(admin) == before | {"dave": "editor"}
    assert state(admin) == [("dave",)]
    [(changed, joined)] = admin.execute(
        """
        select i.updated_at > i.created_at and i.accepted_at = m.joined_at, m.updated_at = m.joined_at
        from app.invitations as i join app.members as m using (workspace_id) where m.user_id = 'dave'
        """
    ).fetchall()
    assert (changed, joined) == (True, True)
    assert run(api, Caller("dave"), "select from app.workspace_tasks") == [(), ()]


def test_a_token_is_good_once(admin: psycopg.Connection, api: psycopg.Connection) -> None:
    assert run(api, DAVE, ACCEPT) == [(HOME,)]
    for again in (DAVE, ERIN):
        assert run(api, again, ACCEPT) == [(None,)]
    assert "erin" not in roles(admin)
    run(api, Caller("dave"), "delete from app.members where user_id = 'dave'")
    assert run(api, DAVE, ACCEPT) == [(None,)]
    assert "dave" not in roles(admin)


@pytest.mark.parametrize("why", NOT_OPEN)
def test_what_is_not_open_is_null_and_changes_nothing(
    admin: psycopg.Connection, api: psycopg.Connection, why: str
) -> None:
    admin.execute(NOT_OPEN[why].encode())
    admin.commit()
    before = everything(admin)
    accept = ACCEPT.replace("home", "made up") if why == "made up" else ACCEPT
    assert run(api, DAVE, accept) == [(None,)]
    assert everything(admin) == before


@pytest.mark.parametrize(
    "wrong",
    [
        "null",
        "''",
        r"'\x00'",
        "sha256('home') || '0'",
        "'home'",
        "sha256(sha256('home'))",
        r"substr(sha256('home'), 2)",
    ],
)
def test_what_is_no_hash_is_null(admin: psycopg.Connection, api: psycopg.Connection, wrong: str) -> None:
    before = everything(admin)
    assert run(api, DAVE, f"select app.accept_invitation({wrong})") == [(None,)]
    assert everything(admin) == before


def test_an_invitation_that_expires_later_in_the_transaction_is_still_good(api: psycopg.Connection) -> None:
    """Time stands still in a transaction, as everywhere in PostgreSQL; the API's has one statement."""
    begin(api, DAVE)
    assert api.execute("select now() < clock_timestamp()").fetchone() == (True,)
    assert api.execute(ACCEPT).fetchone() == (HOME,)
    api.execute("rollback")


@pytest.mark.parametrize("isolation", ISOLATION)
@pytest.mark.parametrize("second", [ERIN, DAVE])
def test_of_two_at_the_same_moment_one_becomes_a_member(
    admin: psycopg.Connection, api: psycopg.Connection, another: psycopg.Connection, second: Caller, isolation: str
) -> None:
    def accept() -> object:
        try:
            return another.execute(ACCEPT).fetchall()
        except errors.SerializationFailure:
            another.execute("rollback")
            return run(another, second, ACCEPT)  # as a session does
        finally:
            another.execute("commit")

    for connection, caller in ((api, DAVE), (another, second)):
        begin(connection, caller, isolation)
        connection.execute("select app.current_workspace_ids()")
    assert api.execute(ACCEPT).fetchall() == [(HOME,)]
    with ThreadPoolExecutor() as threads:
        outcome = threads.submit(accept)
        wait_for(admin, 1)
        api.execute("commit")
        assert outcome.result() == [(None,)]
    assert roles(admin) == {"alice": "owner", "bob": "editor", "charlie": "viewer", "dave": "editor"}


def test_if_the_first_of_two_fails_the_second_becomes_a_member(
    admin: psycopg.Connection, api: psycopg.Connection, another: psycopg.Connection
) -> None:
    begin(api, DAVE)
    api.execute(ACCEPT)
    with ThreadPoolExecutor() as threads:
        outcome = threads.submit(run, another, ERIN, ACCEPT)
        wait_for(admin, 1)
        api.execute("rollback")
        assert outcome.result() == [(HOME,)]
    assert "dave" not in roles(admin)


def test_two_tokens_of_the_same_workspace_make_one_membership(
    admin: psycopg.Connection, api: psycopg.Connection, another: psycopg.Connection
) -> None:
    run(
        api,
        OWNER,
        "insert into app.invitations (role, token_hash, expires_at) values ('owner', sha256('2'), 'infinity')",
    )
    begin(api, DAVE)
    api.execute(ACCEPT)

    def accept() -> object:
        with pytest.raises(errors.UniqueViolation):
            run(another, DAVE, "select app.accept_invitation(sha256('2'))")
        return True

    with ThreadPoolExecutor() as threads:
        outcome = threads.submit(accept)
        wait_for(admin, 1)
        api.execute("commit")
        assert outcome.result()
    assert roles(admin)["dave"] == "editor"
    assert sorted(state(admin), key=str) == [("dave",), (None,)]


def test_a_member_stays_what_they_are_and_the_invitation_open(
    admin: psycopg.Connection, api: psycopg.Connection
) -> None:
    before = everything(admin)
    for member in (OWNER, EDITOR, Caller("charlie", None)):
        with pytest.raises(errors.UniqueViolation) as refused:
            run(api, member, ACCEPT)
        assert refused.value.diag.constraint_name == "members_pkey"
        assert refused.value.diag.message_detail is None, "it would name the workspace"
    assert everything(admin) == before
    assert run(api, DAVE, ACCEPT) == [(HOME,)]


@pytest.mark.parametrize("acting_in", [HOME, WORK, UUID(int=7)])
def test_it_does_not_matter_in_which_workspace_one_acts(
    admin: psycopg.Connection, api: psycopg.Connection, acting_in: UUID
) -> None:
    assert run(api, Caller("dave", acting_in), ACCEPT) == [(HOME,)]
    assert run(api, Caller("charlie", HOME), "select app.accept_invitation(sha256('work'))") == [(WORK,)]
    assert (roles(admin)["dave"], roles(admin, WORK)["charlie"]) == ("editor", "editor")


def test_without_a_caller_nothing_is_accepted(admin: psycopg.Connection, api: psycopg.Connection) -> None:
    before = everything(admin)
    for nobody in ("", "set local app.user_id = ''"):
        api.execute(f"begin; {nobody}".encode())
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            api.execute(ACCEPT)
        api.execute("rollback")
    assert everything(admin) == before


def test_the_setting_by_which_the_function_finds_an_invitation_shows_none_to_the_caller(
    admin: psycopg.Connection, api: psycopg.Connection
) -> None:
    [(token_hash,)] = admin.execute("select encode(sha256('home'), 'hex')").fetchall()
    before = everything(admin)
    begin(api, DAVE)
    api.execute(f"set local app.invitation = '{token_hash}'")
    assert api.execute("select id from app.invitations").rowcount == 0
    assert api.execute("delete from app.invitations").rowcount == 0
    assert api.execute("select app.accept_invitation(sha256('made up'))").fetchall() == [(None,)]
    api.execute("commit")
    assert everything(admin) == before
    api.execute("set app.invitation = 'no hash'")
    assert run(api, DAVE, ACCEPT) == [(HOME,)]


def test_a_transaction_that_is_rolled_back_leaves_the_invitation_open(
    admin: psycopg.Connection, api: psycopg.Connection
) -> None:
    begin(api, DAVE)
    api.execute("savepoint before")
    api.execute(ACCEPT)
    api.execute("rollback to before")
    assert api.execute(ACCEPT).fetchall() == [(HOME,)]
    api.execute("rollback")
    assert state(admin) == [(None,)]
    assert "dave" not in roles(admin)


def test_a_hash_that_exists_already_is_refused_without_saying_where(api: psycopg.Connection) -> None:
    """Who knows the hash of an open invitation knows its token: there is nothing more to find out."""
    again = "insert into app.invitations (role, token_hash, expires_at) values ('viewer', sha256('work'), 'infinity')"
    with pytest.raises(errors.UniqueViolation) as refused:
        run(api, OWNER, again)
    assert refused.value.diag.constraint_name == "invitations_token_hash_key"
    assert refused.value.diag.message_detail is None


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ("'admin', sha256('x'), 'infinity'", "invitations_role_known"),
        ("'Viewer', sha256('x'), 'infinity'", "invitations_role_known"),
        ("'viewer', 'the token', 'infinity'", "invitations_token_hash_is_sha256"),
        ("'viewer', '', 'infinity'", "invitations_token_hash_is_sha256"),
        ("'viewer', sha256('x'), now()", "invitations_expire"),
        ("'viewer', sha256('x'), '-infinity'", "invitations_expire"),
    ],
)
def test_what_could_not_be_accepted_as_it_should_is_not_made(
    api: psycopg.Connection, values: str, constraint: str
) -> None:
    with pytest.raises(errors.CheckViolation) as refused:
        run(api, OWNER, f"insert into app.invitations (role, token_hash, expires_at) values ({values})")
    assert refused.value.diag.constraint_name == constraint
