"""Members are named by ids that an issuer has chosen: whatever is in one, it can be put into a path."""

from urllib.parse import quote

import httpx2
import psycopg
import pytest

from tests.support.servers import caller
from tests.support.workspaces import add_member, workspace

IDS = ("auth0|5f7c8ec7", "https://issuer.example/users/7", "https://issuer.example/users/", "a/../b", "%2F", "é 🧱?#")


@pytest.mark.parametrize("user", IDS)
def test_an_owner_changes_a_member_whose_id_is_anything_and_the_member_leaves(
    user: str, admin: psycopg.Connection, alice: httpx2.Client, base_url: str
) -> None:
    members = f"/workspaces/{(here := workspace(admin, 'alice'))}/members"
    add_member(admin, here, user, "viewer")
    member = f"{members}/{quote(user, safe='')}"

    assert alice.get(member).json()["user_id"] == user
    assert alice.patch(member, json={"role": "editor"}).json()["role"] == "editor"
    with caller(base_url, user) as their:
        assert their.delete(member).status_code == 204
    assert [each["user_id"] for each in alice.get(members).json()["items"]] == ["alice"]


def test_what_no_id_can_have_is_refused_with_its_place(admin: psycopg.Connection, alice: httpx2.Client) -> None:
    response = alice.get(f"/workspaces/{workspace(admin, 'alice')}/members/%00")

    assert response.status_code == 422
    assert [(each["parameter"], each["code"]) for each in response.json()["errors"]] == [("user_id", "nul_character")]
