"""Who may do what with the tasks of a workspace. That they are tasks like a user's own, tests/tasks shows."""

from collections.abc import Callable

import httpx2
import psycopg
import pytest

from tests.support.refusals import assert_refused, untouched
from tests.support.statements import STATEMENTS
from tests.support.workspaces import add_member, create_workspace, workspace

pytestmark = pytest.mark.parametrize("statements", STATEMENTS, indirect=True)

Request = Callable[[httpx2.Client, str, str], httpx2.Response]

READS: dict[str, Request] = {
    "list": lambda client, tasks, _: client.get(f"{tasks}?sort=-created&completed=false"),
    "search": lambda client, tasks, _: client.get(f"{tasks}?q=dig"),
    "read": lambda client, _, task: client.get(task),
    "read if changed": lambda client, _, task: client.get(task, headers={"If-None-Match": '"0"'}),
}
WRITES: dict[str, Request] = {
    "create": lambda client, tasks, _: client.post(tasks, json={"text": "Plant"}),
    "create once": lambda client, tasks, _: client.post(
        tasks, json={"text": "Plant"}, headers={"Idempotency-Key": "key"}
    ),
    "replace": lambda client, _, task: client.put(task, json={"text": "Plant", "completed": True, "order": 1}),
    "change": lambda client, _, task: client.patch(task, json={"completed": True}),
    "change if unchanged": lambda client, _, task: client.patch(task, json={"order": 1}, headers={"If-Match": "*"}),
    "delete": lambda client, _, task: client.delete(task),
    "change many": lambda client, tasks, task: client.patch(
        tasks, json={"tasks": [{"id": task.rpartition("/")[2], "order": 1}]}
    ),
    "delete many": lambda client, tasks, _: client.delete(f"{tasks}?completed=true"),
}
ROLES = ("viewer", "editor", "owner")
NO_MEMBERS = ("an outsider", "a former member", "an owner of another workspace", "somebody invited")


@pytest.fixture
def garden(alice: httpx2.Client) -> str:
    """Return the path of a workspace that Alice owns."""
    return f"/workspaces/{create_workspace(alice)['id']}"


@pytest.fixture
def places(alice: httpx2.Client, garden: str) -> tuple[str, str]:
    """Return the paths of its tasks, and of one of them."""
    created = alice.post(f"{garden}/tasks", json={"text": "Dig"})
    return f"{garden}/tasks", created.headers["location"]


@pytest.mark.parametrize("role", ROLES)
def test_every_member_reads_and_editors_and_owners_write(
    role: str,
    alice: httpx2.Client,
    bob: httpx2.Client,
    garden: str,
    places: tuple[str, str],
    admin: psycopg.Connection,
    subtests: pytest.Subtests,
) -> None:
    add_member(admin, garden.rpartition("/")[2], "bob", role)
    for name, request in READS.items():
        with subtests.test(name), untouched(admin):
            assert request(bob, *places).status_code == 200
    for name, request in WRITES.items():
        tasks, _ = places
        task = alice.post(tasks, json={"text": "Dig"}).headers["location"]
        with subtests.test(name):
            if role == "viewer":
                with untouched(admin):
                    response = request(bob, tasks, task)
                assert_refused(response, 403)
                assert (response.json()["code"], response.json()["role"]) == ("role_required", "editor")
                assert response.json()["detail"] == "This needs at least the role editor in the workspace."
            else:
                assert request(bob, tasks, task).is_success


@pytest.mark.parametrize("who", NO_MEMBERS)
def test_for_whoever_is_no_member_the_workspace_does_not_exist(
    who: str,
    alice: httpx2.Client,
    bob: httpx2.Client,
    garden: str,
    places: tuple[str, str],
    admin: psycopg.Connection,
    subtests: pytest.Subtests,
) -> None:
    match who:
        case "a former member":
            add_member(admin, garden.rpartition("/")[2], "bob", "owner")
            assert bob.delete(f"{garden}/members/bob").status_code == 204
        case "an owner of another workspace":
            workspace(admin, "bob")
        case "somebody invited":
            assert alice.post(f"{garden}/invitations", json={"role": "owner"}).status_code == 201
    bob.headers["X-Request-ID"] = "mine"
    other = garden.replace(garden.rpartition("/")[2], "01900000-0000-7000-8000-000000000000")
    for name, request in {**READS, **WRITES}.items():
        with subtests.test(name), untouched(admin):
            response = request(bob, *places)
            nowhere = request(bob, *(path.replace(garden, other) for path in places))
            assert_refused(response, 404)
            assert response.json()["detail"] == "No workspace with this id."
            assert (nowhere.status_code, nowhere.text) == (404, response.text)
            assert sorted(nowhere.headers) == sorted(response.headers)


def test_a_task_says_who_added_it_and_keeps_saying_so(
    alice: httpx2.Client, bob: httpx2.Client, garden: str, places: tuple[str, str], admin: psycopg.Connection
) -> None:
    tasks, hers = places
    add_member(admin, garden.rpartition("/")[2], "bob", "editor")
    his = bob.post(tasks, json={"text": "Plant"}).headers["location"]
    assert bob.patch(hers, json={"completed": True}).json()["user_id"] == "alice"
    assert alice.patch(his, json={"completed": True}).json()["user_id"] == "bob"
    assert alice.delete(f"{garden}/members/bob").status_code == 204

    assert alice.get(his).json()["user_id"] == "bob"


def test_a_task_of_one_workspace_is_not_in_another_of_the_same_owner_nor_among_her_own(
    alice: httpx2.Client, places: tuple[str, str]
) -> None:
    _, task = places
    other = f"/workspaces/{create_workspace(alice)['id']}"
    task_id = task.rpartition("/")[2]

    for elsewhere in (f"{other}/tasks", "/tasks"):
        assert alice.get(elsewhere).json()["items"] == []
        for method, body in {"GET": None, "PATCH": {"order": 1}, "DELETE": None}.items():
            response = alice.request(method, f"{elsewhere}/{task_id}", json=body)
            assert_refused(response, 404)
            assert response.json()["detail"] == "No task with this id."
    assert alice.get(task).status_code == 200
