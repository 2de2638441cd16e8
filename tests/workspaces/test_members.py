"""Who belongs to a workspace, who may change that, and that it always has an owner."""

from functools import partial

import httpx2
import psycopg
import pytest

from api.members.models import Member
from tests.support.refusals import assert_refused, untouched
from tests.support.waiting import at_once
from tests.support.workspaces import add_member, create_workspace


@pytest.fixture
def garden(alice: httpx2.Client, admin: psycopg.Connection) -> str:
    """Return the path of a workspace that Alice owns, in which Bob is an editor."""
    path = f"/workspaces/{create_workspace(alice)['id']}"
    add_member(admin, path.rpartition("/")[2], "bob", "editor")
    return path


def roles(client: httpx2.Client, garden: str) -> dict[str, str]:
    return {member["user_id"]: member["role"] for member in client.get(f"{garden}/members").json()["items"]}


def assert_last_owner(response: httpx2.Response) -> None:
    assert_refused(response, 409)
    assert response.json()["code"] == "last_owner"


def test_every_member_sees_who_the_others_are(alice: httpx2.Client, bob: httpx2.Client, garden: str) -> None:
    everybody = bob.get(f"{garden}/members").json()

    assert [list(member) for member in everybody["items"]] == [list(Member.model_fields)] * 2
    assert roles(alice, garden) == roles(bob, garden) == {"alice": "owner", "bob": "editor"}
    for member in everybody["items"]:
        one = bob.get(f"{garden}/members/{member['user_id']}")
        assert (one.json(), one.headers["etag"]) == (member, f'"{member["updated_at"]}"')


def test_the_members_come_by_id_and_page_by_page(alice: httpx2.Client, garden: str, admin: psycopg.Connection) -> None:
    for number in range(5):
        add_member(admin, garden.rpartition("/")[2], f"u{number}", "viewer")
    response, seen = alice.get(f"{garden}/members?limit=2"), []
    while True:
        seen += [member["user_id"] for member in response.json()["items"]]
        if "next" not in response.links:
            break
        response = alice.get(response.links["next"]["url"])

    assert seen == ["alice", "bob", "u0", "u1", "u2", "u3", "u4"]


def test_an_owner_changes_a_role_and_it_holds_from_the_next_request_on(
    alice: httpx2.Client, bob: httpx2.Client, garden: str
) -> None:
    before = alice.get(f"{garden}/members/bob")
    assert bob.post(f"{garden}/tasks", json={"text": "Dig"}).status_code == 201

    response = alice.patch(
        f"{garden}/members/bob", json={"role": "viewer"}, headers={"If-Match": before.headers["etag"]}
    )

    assert response.status_code == 200
    after = response.json()
    assert after == {**before.json(), "role": "viewer", "updated_at": after["updated_at"]}
    assert after["updated_at"] > before.json()["updated_at"]
    assert_refused(bob.post(f"{garden}/tasks", json={"text": "Dig"}), 403)
    stale = {"If-Match": before.headers["etag"]}
    assert_refused(alice.patch(f"{garden}/members/bob", json={"role": "owner"}, headers=stale), 412)
    assert_refused(alice.delete(f"{garden}/members/bob", headers=stale), 412)


@pytest.mark.parametrize("role", ["viewer", "editor"])
@pytest.mark.parametrize("whose", ["alice", "bob"])
def test_whoever_is_no_owner_changes_no_role_and_least_of_all_their_own(
    role: str, whose: str, bob: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    add_member(admin, garden.rpartition("/")[2], "bob", role)
    with untouched(admin):
        for wanted in ("viewer", "editor", "owner"):
            response = bob.patch(f"{garden}/members/{whose}", json={"role": wanted})
            assert_refused(response, 403)
            assert (response.json()["code"], response.json()["role"]) == ("role_required", "owner")


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_whoever_is_no_owner_removes_nobody_but_themselves(
    role: str, bob: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    add_member(admin, garden.rpartition("/")[2], "bob", role)
    with untouched(admin):
        assert_refused(bob.delete(f"{garden}/members/alice"), 403)
        assert_refused(bob.delete(f"{garden}/members/bob", headers={"If-Match": '"0"'}), 412)

    assert bob.delete(f"{garden}/members/bob").status_code == 204
    assert_refused(bob.get(garden), 404)


def test_nobody_becomes_a_member_by_changing_a_member_that_does_not_exist(
    alice: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    with untouched(admin):
        for response in (
            alice.patch(f"{garden}/members/charlie", json={"role": "viewer"}),
            alice.delete(f"{garden}/members/charlie"),
            alice.get(f"{garden}/members/charlie"),
        ):
            assert_refused(response, 404)
            assert response.json()["detail"] == "No member with this id."


@pytest.mark.parametrize("body", [{}, {"role": "admin"}, {"role": None}, {"role": "Owner"}, {"user_id": "charlie"}])
def test_what_is_no_role_is_refused(
    body: dict[str, object], alice: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    with untouched(admin):
        place = "#" if not body else f"#/{next(iter(body))}"
        assert alice.patch(f"{garden}/members/bob", json=body).json()["errors"][0]["pointer"] in {place, "#"}


# ---- a workspace always has an owner -----------------------------------------------------------------


def test_the_last_owner_can_neither_leave_nor_step_down(
    alice: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    with untouched(admin):
        assert_last_owner(alice.delete(f"{garden}/members/alice"))
        for role in ("viewer", "editor"):
            assert_last_owner(alice.patch(f"{garden}/members/alice", json={"role": role}))
    assert alice.patch(f"{garden}/members/alice", json={"role": "owner"}).status_code == 200


def test_with_another_owner_one_can_leave_or_step_down(alice: httpx2.Client, bob: httpx2.Client, garden: str) -> None:
    assert alice.patch(f"{garden}/members/bob", json={"role": "owner"}).status_code == 200

    assert alice.patch(f"{garden}/members/alice", json={"role": "viewer"}).status_code == 200
    assert_last_owner(bob.delete(f"{garden}/members/bob"))
    assert bob.delete(f"{garden}/members/alice").status_code == 204
    assert roles(bob, garden) == {"bob": "owner"}


LEAVING = {
    "both leave": ("DELETE", "DELETE"),
    "both step down": ("PATCH", "PATCH"),
    "one leaves and one steps down": ("DELETE", "PATCH"),
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("whose", ["their own", "the other's"])
def test_of_two_owners_in_the_same_moment_one_stays(
    how: str, whose: str, alice: httpx2.Client, bob: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    add_member(admin, garden.rpartition("/")[2], "bob", "owner")
    targets = ("alice", "bob") if whose == "their own" else ("bob", "alice")
    calls = [
        partial(
            client.request, method, f"{garden}/members/{target}", json={"role": "viewer"} if method == "PATCH" else None
        )
        for client, method, target in zip((alice, bob), LEAVING[how], targets, strict=True)
    ]

    responses = at_once(admin, "select from app.workspaces for update", calls)

    admin.rollback()
    left = admin.execute("select user_id from app.members where role = 'owner'").fetchall()
    assert len(left) == 1
    done = [response.status_code for response in responses]
    assert sum(status < 300 for status in done) == 1
    assert {status for status in done if status >= 300} <= {403, 404, 409}
