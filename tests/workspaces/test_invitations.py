"""How somebody becomes a member: by a token that an owner has made, once, and by nothing else."""

import hashlib
import re
from functools import partial

import httpx2
import psycopg
import pytest

from api.invitations.attempts import ATTEMPTS
from api.invitations.models import InvitationWithToken
from api.settings import Settings
from tests.support.database import Url
from tests.support.refusals import assert_refused, untouched
from tests.support.servers import caller, calling
from tests.support.tokens import bearer, make_token
from tests.support.waiting import at_once
from tests.support.workspaces import Json, add_member, create_workspace, role_of

ACCEPT = "/invitations/accept"


@pytest.fixture
def garden(alice: httpx2.Client) -> str:
    """Return the path of a workspace that Alice owns."""
    return f"/workspaces/{create_workspace(alice)['id']}"


def invite(client: httpx2.Client, garden: str, role: str = "viewer", **headers: str) -> Json:
    response = client.post(f"{garden}/invitations", json={"role": role}, headers=headers)
    assert response.status_code == 201, response.text
    invitation: Json = response.json()
    return invitation


def accept(client: httpx2.Client, token: str) -> httpx2.Response:
    return client.post(ACCEPT, json={"token": token})


def without(invitation: Json, *names: str) -> Json:
    return {name: value for name, value in invitation.items() if name not in names}


# ---- making one --------------------------------------------------------------------------------------


def test_the_token_has_256_bits_is_shown_once_and_only_its_hash_is_kept(
    alice: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    invitation = invite(alice, garden, **{"Idempotency-Key": "a"})

    token = invitation["token"]
    assert re.fullmatch(r"[\w-]{43}", token)  # 43 characters of 6 bits
    assert list(invitation) == list(InvitationWithToken.model_fields)
    path = f"{garden}/invitations/{invitation['id']}"
    assert alice.get(path).json() == without(invitation, "token")
    assert alice.get(f"{garden}/invitations").json()["items"] == [without(invitation, "token")]
    kept = admin.execute("select token_hash from app.invitations").fetchall()
    assert kept == [(hashlib.sha256(token.encode()).digest(),)]
    tables = ("invitations", "idempotency_keys", "members", "workspaces")
    rows = [admin.execute(f"table app.{table}".encode()).fetchall() for table in tables]
    assert token not in str(rows)


def test_a_creation_that_is_sent_twice_happens_once_and_the_token_is_in_the_first_response_only(
    alice: httpx2.Client, garden: str
) -> None:
    first, second = (invite(alice, garden, **{"Idempotency-Key": "a"}) for _ in range(2))

    assert second == {**first, "token": None}
    assert len(alice.get(f"{garden}/invitations").json()["items"]) == 1


def test_no_two_invitations_have_the_same_token(alice: httpx2.Client, garden: str) -> None:
    assert len({invite(alice, garden)["token"] for _ in range(3)}) == 3


def test_an_invitation_is_open_for_seven_days_or_as_long_as_a_setting_says(
    alice: httpx2.Client, garden: str, url: Url, admin: psycopg.Connection
) -> None:
    invite(alice, garden)
    with calling(url("app_api"), invitation_lifetime=60) as client:
        client.headers.update(bearer(make_token("alice")))
        invite(client, garden)

    rows = admin.execute("select expires_at - created_at from app.invitations order by id").fetchall()
    assert [lifetime.total_seconds() for (lifetime,) in rows] == [7 * 24 * 3600, 60]
    assert Settings.model_fields["invitation_lifetime"].default == 7 * 24 * 3600


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_whoever_is_no_owner_has_nothing_to_do_with_invitations(
    role: str, alice: httpx2.Client, bob: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    add_member(admin, garden.rpartition("/")[2], "bob", role)
    path = f"{garden}/invitations/{invite(alice, garden)['id']}"
    with untouched(admin):
        for response in (
            bob.post(f"{garden}/invitations", json={"role": "viewer"}),
            bob.get(f"{garden}/invitations"),
            bob.get(path),
            bob.delete(path),
        ):
            assert_refused(response, 403)
            assert (response.json()["code"], response.json()["role"]) == ("role_required", "owner")


@pytest.mark.parametrize("role", ["admin", "", None, 7])
def test_nobody_is_invited_as_what_is_no_role(
    role: object, alice: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    with untouched(admin):
        assert_refused(alice.post(f"{garden}/invitations", json={"role": role}), 422, "#/role")


# ---- accepting one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viewer", "editor", "owner"])
def test_whoever_accepts_becomes_what_the_invitation_says(
    role: str, alice: httpx2.Client, bob: httpx2.Client, garden: str
) -> None:
    invitation = invite(alice, garden, role)

    response = accept(bob, invitation["token"])

    assert response.status_code == 200
    workspace = response.json()
    assert (workspace["name"], workspace["role"]) == ("Garden", role)
    again = bob.get(garden)
    assert (again.json(), again.headers["etag"]) == (workspace, response.headers["etag"])
    assert bob.get("/workspaces").json()["items"] == [workspace]
    after = alice.get(f"{garden}/invitations/{invitation['id']}").json()
    assert (after["accepted_by"], after["accepted_at"]) == ("bob", after["updated_at"])
    assert alice.get(f"{garden}/members/bob").json()["joined_at"] == after["accepted_at"]


def test_what_is_made_up_expired_used_or_revoked_is_one_response(
    alice: httpx2.Client, bob: httpx2.Client, charlie: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    expired, used, revoked = (invite(alice, garden) for _ in range(3))
    admin.execute(
        "update app.invitations set created_at = now() - interval '8 days', expires_at = now() where id = %s",
        [expired["id"]],
    )
    admin.commit()
    assert accept(bob, used["token"]).status_code == 200
    assert alice.delete(f"{garden}/invitations/{revoked['id']}").status_code == 204

    responses = []
    with untouched(admin):
        tokens = ("", "made up", "é", used["token"][:-1], used["token"], expired["token"], revoked["token"])
        for client in (charlie, bob):
            client.headers["X-Request-ID"] = "mine"
            responses += [accept(client, token) for token in (tokens if client is charlie else tokens[4:])]

    assert_refused(responses[0], 404)
    assert len({response.text for response in responses}) == 1
    assert len({tuple(sorted(response.headers)) for response in responses}) == 1
    assert charlie.get("/workspaces").json()["items"] == []


@pytest.mark.usefixtures("way")
def test_of_two_who_send_the_same_token_in_the_same_moment_one_becomes_a_member(
    alice: httpx2.Client, bob: httpx2.Client, charlie: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    token = invite(alice, garden)["token"]

    responses = at_once(
        admin, "select from app.invitations for update", [partial(accept, client, token) for client in (bob, charlie)]
    )

    assert sorted(response.status_code for response in responses) == [200, 404]
    roles = [role_of(admin, garden.rpartition("/")[2], user) for user in ("bob", "charlie")]
    assert sorted(map(str, roles)) == ["None", "viewer"]


def test_a_member_keeps_their_role_and_the_invitation_stays_open(
    alice: httpx2.Client, bob: httpx2.Client, charlie: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    add_member(admin, garden.rpartition("/")[2], "bob", "viewer")
    token = invite(alice, garden, "owner")["token"]
    with untouched(admin):
        response = accept(bob, token)

    assert_refused(response, 409)
    assert response.json()["code"] == "already_member"
    assert accept(charlie, token).json()["role"] == "owner"


def test_whoever_was_removed_can_be_invited_again(
    alice: httpx2.Client, bob: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    token = invite(alice, garden, "editor")["token"]
    assert accept(bob, token).status_code == 200
    assert alice.delete(f"{garden}/members/bob").status_code == 204

    assert_refused(accept(bob, token), 404)
    assert accept(bob, invite(alice, garden)["token"]).json()["role"] == "viewer"
    assert role_of(admin, garden.rpartition("/")[2], "bob") == "viewer"


@pytest.mark.parametrize("how", ["removed", "demoted", "leaves"])
def test_who_was_an_owner_does_not_come_back_by_an_invitation_of_their_own(
    how: str, alice: httpx2.Client, bob: httpx2.Client, garden: str, admin: psycopg.Connection
) -> None:
    add_member(admin, garden.rpartition("/")[2], "bob", "owner")
    his, hers = invite(bob, garden, "owner"), invite(alice, garden, "owner")
    member = f"{garden}/members/bob"
    if how == "demoted":
        assert alice.patch(member, json={"role": "viewer"}).status_code == 200
        assert alice.delete(member).status_code == 204
    else:
        assert (alice if how == "removed" else bob).delete(member).status_code == 204

    assert_refused(accept(bob, his["token"]), 404)
    assert [each["id"] for each in alice.get(f"{garden}/invitations").json()["items"]] == [hers["id"]]


def test_a_deleted_workspace_has_no_invitations(alice: httpx2.Client, bob: httpx2.Client, garden: str) -> None:
    token = invite(alice, garden)["token"]
    assert alice.delete(garden).status_code == 204

    assert_refused(accept(bob, token), 404)


def test_one_user_may_try_so_often_a_minute_and_others_are_not_held_up(
    alice: httpx2.Client, bob: httpx2.Client, base_url: str, garden: str, admin: psycopg.Connection
) -> None:
    token = invite(alice, garden)["token"]
    assert [accept(bob, "made up").status_code for _ in range(ATTEMPTS)] == [404] * ATTEMPTS
    with untouched(admin), caller(base_url, "bob") as again:
        response = accept(again, token)

    assert_refused(response, 429)
    assert response.json()["code"] == "too_many_attempts"
    assert 0 < int(response.headers["retry-after"]) <= 60
    with caller(base_url, "charlie") as charlie:
        assert accept(charlie, token).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"token": None}, {"token": 7}, {"token": "x" * 201}, {"token": "x", "role": "owner"}]
)
def test_what_is_no_token_is_refused(body: dict[str, object], bob: httpx2.Client, admin: psycopg.Connection) -> None:
    with untouched(admin):
        response = bob.post(ACCEPT, json=body)
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] in {"#/token", "#/role"}
