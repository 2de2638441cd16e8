"""What people can do with workspaces, each in their role."""

from functools import partial

import httpx2
import psycopg
import pytest
from psycopg import sql

from api.workspaces.models import Workspace
from tests.support.refusals import assert_refused, untouched
from tests.support.waiting import at_once
from tests.support.workspaces import Json, add_member, create_workspace, role_of

NAME = {"name": "Garden"}


def etag(row: Json) -> str:
    return f'"{row["updated_at"]}"'


def test_a_new_workspace_has_every_field_and_says_where_it_is_and_its_creator_owns_it(alice: httpx2.Client) -> None:
    response = alice.post("/workspaces", json=NAME)

    assert response.status_code == 201
    workspace = response.json()
    assert list(workspace) == list(Workspace.model_fields)
    assert (workspace["name"], workspace["role"]) == ("Garden", "owner")
    assert workspace["created_at"] == workspace["updated_at"]
    assert response.headers["location"] == f"/workspaces/{workspace['id']}"
    assert response.headers["etag"] == etag(workspace)
    assert alice.get(response.headers["location"]).json() == workspace
    [member] = alice.get(f"/workspaces/{workspace['id']}/members").json()["items"]
    assert (member["user_id"], member["role"]) == ("alice", "owner")


def test_a_creation_that_is_sent_twice_happens_once(alice: httpx2.Client) -> None:
    first, second = (alice.post("/workspaces", json=NAME, headers={"Idempotency-Key": "a"}) for _ in range(2))

    assert second.json() == first.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert alice.get("/workspaces").json()["items"] == [first.json()]


def test_the_list_is_of_ones_own_memberships_with_ones_role_by_age_and_page_by_page(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    mine = [create_workspace(alice, name) for name in "ab"]
    his = [create_workspace(bob, name) for name in "cd"]
    add_member(admin, his[1]["id"], "alice", "viewer")

    first = alice.get("/workspaces", params={"limit": 2}).json()
    rest = alice.get("/workspaces", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    listed = first["items"] + rest["items"]

    assert [(each["name"], each["role"]) for each in listed] == [("a", "owner"), ("b", "owner"), ("d", "viewer")]
    assert (listed[:2], rest["next_cursor"]) == (mine, None)
    assert alice.get(f"/workspaces/{his[1]['id']}").json() == listed[2]
    assert alice.get("/workspaces", params={"sort": "-created"}).json()["items"] == listed[::-1]


def test_a_list_of_more_workspaces_than_one_page_has_each_once(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    admin.execute("""
        with made as (
            insert into app.workspaces (name) select 'w' || n from generate_series(1, 450) as n returning workspace_id
        )
        insert into app.members (workspace_id, user_id, role) select workspace_id, 'alice', 'editor' from made
    """)
    admin.commit()
    response, seen = alice.get("/workspaces?limit=200"), []
    while True:
        seen += [each["name"] for each in response.json()["items"]]
        if "next" not in response.links:
            break
        response = alice.get(response.links["next"]["url"])

    assert len(seen) == len({*seen}) == 450


@pytest.mark.parametrize("name", ["", " ", "x" * 101, 7, None])
def test_a_workspace_needs_a_name(name: object, alice: httpx2.Client, admin: psycopg.Connection) -> None:
    workspace = create_workspace(alice)
    with untouched(admin):
        assert_refused(alice.post("/workspaces", json={"name": name}), 422, "#/name")
        assert_refused(alice.patch(f"/workspaces/{workspace['id']}", json={"name": name}), 422, "#/name")


def test_an_owner_renames_it_for_all_and_the_etag_moves(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    before = create_workspace(alice)
    path = f"/workspaces/{before['id']}"
    add_member(admin, before["id"], "bob", "viewer")

    response = alice.patch(path, json={"name": "Yard"}, headers={"If-Match": etag(before)})

    assert response.status_code == 200
    after = response.json()
    assert after == {**before, "name": "Yard", "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    assert response.headers["etag"] == etag(after)
    assert bob.get(path).json()["name"] == "Yard"
    assert_refused(alice.patch(path, json={"name": "Hof"}, headers={"If-Match": etag(before)}), 412)
    assert_refused(alice.delete(path, headers={"If-Match": etag(before)}), 412)


def test_a_cached_workspace_is_outdated_when_the_callers_role_has_changed(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    path = f"/workspaces/{create_workspace(alice)['id']}"
    add_member(admin, path.rpartition("/")[2], "bob", "viewer")
    cached = bob.get(path)
    assert bob.get(path, headers={"If-None-Match": cached.headers["etag"]}).status_code == 304

    assert alice.patch(f"{path}/members/bob", json={"role": "editor"}).status_code == 200

    again = bob.get(path, headers={"If-None-Match": cached.headers["etag"]})
    assert (again.status_code, again.json()["role"]) == (200, "editor")


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_whoever_is_no_owner_neither_renames_nor_deletes_it(
    role: str, alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    path = f"/workspaces/{create_workspace(alice)['id']}"
    add_member(admin, path.rpartition("/")[2], "bob", role)
    with untouched(admin):
        for response in (bob.patch(path, json={"name": "Mine"}), bob.delete(path)):
            assert_refused(response, 403)
            assert (response.json()["code"], response.json()["role"]) == ("role_required", "owner")


def test_deleting_a_workspace_takes_everything_in_it_and_nothing_else(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    path, other = (f"/workspaces/{create_workspace(alice)['id']}" for _ in range(2))
    for each in (path, other):
        add_member(admin, each.rpartition("/")[2], "bob", "owner")
        assert alice.post(f"{each}/tasks", json={"text": "Dig"}).status_code == 201
        assert alice.post(f"{each}/invitations", json={"role": "viewer"}).status_code == 201
    alice.post("/tasks", json={"text": "My own"})

    assert alice.delete(path).status_code == 204

    for client in (alice, bob):
        assert_refused(client.get(path), 404)
        assert_refused(client.get(f"{path}/tasks"), 404)
        assert [f"/workspaces/{each['id']}" for each in client.get("/workspaces").json()["items"]] == [other]
    for table, left in {"workspaces": 1, "members": 2, "invitations": 1, "workspace_tasks": 1, "tasks": 1}.items():
        count = sql.SQL("select count(*) from {}").format(sql.Identifier("app", table))
        assert admin.execute(count).fetchone() == (left,), table


def test_what_waits_until_a_workspace_is_deleted_finds_none(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    path = f"/workspaces/{create_workspace(alice)['id']}"
    add_member(admin, path.rpartition("/")[2], "bob", "owner")
    calls = (
        partial(alice.post, f"{path}/tasks", json={"text": "Dig"}),
        partial(bob.post, f"{path}/tasks", json={"text": "Dig"}, headers={"Idempotency-Key": "a"}),
        partial(bob.post, f"{path}/invitations", json={"role": "viewer"}),
        partial(alice.patch, path, json={"name": "Park"}),
    )

    responses = at_once(admin, "delete from app.workspaces", calls)

    for response in responses:
        assert_refused(response, 404)
        assert response.json()["detail"] == "No workspace with this id."


def test_a_member_who_is_removed_sees_nothing_from_the_next_request_on(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    path = f"/workspaces/{create_workspace(alice)['id']}"
    add_member(admin, path.rpartition("/")[2], "bob", "editor")
    created = bob.post(f"{path}/tasks", json={"text": "Dig"}, headers={"Idempotency-Key": "a"})
    assert created.status_code == 201
    reads = (path, f"{path}/tasks", created.headers["location"], f"{path}/members", f"{path}/members/bob")
    assert [bob.get(each).status_code for each in reads] == [200] * 5

    assert alice.delete(f"{path}/members/bob").status_code == 204

    nothing = [bob.get(each) for each in reads]
    nothing.append(bob.post(f"{path}/tasks", json={"text": "Dig"}, headers={"Idempotency-Key": "a"}))
    nothing.append(bob.patch(created.headers["location"], json={"completed": True}))
    for response in nothing:
        assert_refused(response, 404)
        assert response.json()["detail"] == "No workspace with this id."
    assert bob.get("/workspaces").json()["items"] == []
    assert role_of(admin, path.rpartition("/")[2], "bob") is None
