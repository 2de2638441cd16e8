"""Each example of the OpenAPI document, asked for: the response is the example, to the letter."""

from collections.abc import Callable
from typing import Any

import httpx2
import psycopg
import pytest

from api.http import examples
from api.http.examples import REQUEST_ID, UNHEALTHY, WORKSPACE_ID
from api.invitations.attempts import ATTEMPTS
from api.invitations.examples import PROBLEMS as INVITATION_PROBLEMS
from api.members.examples import PROBLEMS as MEMBER_PROBLEMS
from api.tasks.examples import PROBLEMS as TASK_PROBLEMS
from api.tasks.examples import TASK_ID
from api.workspaces.examples import PROBLEMS as WORKSPACE_PROBLEMS
from tests.support.database import Url
from tests.support.routes import (
    COLLECTIONS,
    NEEDS_TOKEN,
    ROUTES,
    Place,
    Route,
    call,
    described_response,
    example,
)
from tests.support.servers import caller, calling
from tests.support.tables import insert_examples
from tests.support.tokens import bearer, make_token

# What the database makes, and no example can foretell.
MADE = {
    "POST": {"id", "created_at", "updated_at", "expires_at", "token"},
    "PUT": {"updated_at"},
    "PATCH": {"updated_at"},
}
# By status, then by what has happened. Those of these resources are asked for here.
OF_RESOURCES = (examples.PROBLEMS, TASK_PROBLEMS, WORKSPACE_PROBLEMS, MEMBER_PROBLEMS, INVITATION_PROBLEMS)
PROBLEMS = {
    status: {what: shown for each in OF_RESOURCES for what, shown in each.get(status, {}).items()}
    for status in sorted({status for each in OF_RESOURCES for status in each})
}
ONE, MANY, ACCEPT = "/tasks/{task_id}", "/tasks", "/invitations/accept"


@pytest.fixture
def alice(alice: httpx2.Client) -> httpx2.Client:
    """Return a client that calls as Alice, with the request id of the examples."""
    alice.headers["X-Request-ID"] = REQUEST_ID
    return alice


@pytest.fixture
def dba(admin: psycopg.Connection) -> psycopg.Connection:
    """Return a superuser for whom no trigger fires."""
    admin.rollback()
    admin.autocommit = True
    admin.execute("set session_replication_role = replica")
    return admin


@pytest.fixture
def rows(dba: psycopg.Connection) -> dict[str, Place]:
    """Insert the example of each resource; return for each path the place of such a row."""
    return insert_examples(dba)


ANOTHER_OWNER = (
    b"insert into app.members (workspace_id, user_id, role) select workspace_id, 'bob', 'owner' from app.workspaces"
)
# What makes of the examples in the database those that a request is an example for.
BEFORE: dict[Route, tuple[bytes, ...]] = {
    ("DELETE", "/tasks"): (b"update app.tasks set completed = true, completed_at = now()",),
    ("DELETE", "/workspaces/{workspace_id}/tasks"): (
        b"update app.workspace_tasks set completed = true, completed_at = now()",
    ),
    ("DELETE", "/workspaces/{workspace_id}/members/{user_id}"): (ANOTHER_OWNER,),
    ("POST", "/invitations/accept"): (
        ANOTHER_OWNER,
        b"delete from app.members where user_id = 'alice'",
        b"update app.invitations set role = 'owner'",
    ),
}


def masked(tree: Any, names: set[str]) -> Any:
    if isinstance(tree, dict):
        return {name: "made" if name in names else masked(branch, names) for name, branch in tree.items()}
    return [masked(branch, names) for branch in tree] if isinstance(tree, list) else tree


# ---- when all is well --------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_the_example_of_a_request_gets_the_example_of_its_response(
    route: Route, rows: dict[str, Place], alice: httpx2.Client, dba: psycopg.Connection
) -> None:
    method, path = route
    for statement in BEFORE.get(route, ()):
        dba.execute(statement)

    response = call(alice, route, rows.get(path, {"workspace_id": WORKSPACE_ID, "user_id": "alice"}))

    made = MADE.get(method, {"revision", "checked_seconds_ago"})
    expected = example(described_response(*route, response.status_code))
    assert response.is_success
    assert masked(response.json() if response.content else None, made) == masked(expected, made)


# ---- and when it is not ------------------------------------------------------------------------------


def page_of_another_list(alice: httpx2.Client) -> httpx2.Response:
    for _ in range(2):
        alice.post(MANY, json={"text": "Buy milk"})
    cursor = alice.get(f"{MANY}?sort=-created&completed=false&limit=1").json()["next_cursor"]
    return alice.get(f"{MANY}?cursor={cursor}")


def key_of_another_request(alice: httpx2.Client) -> httpx2.Response:
    for text in ("Buy milk", "Buy bread"):
        response = alice.post(MANY, json={"text": text}, headers={"Idempotency-Key": "the-key"})
    return response


def outdated_etag(alice: httpx2.Client) -> httpx2.Response:
    created = alice.post(MANY, json={"text": "Buy milk"})
    where, etag = created.headers["location"], created.headers["etag"]
    for order in (1, 2):
        response = alice.patch(where, json={"order": order}, headers={"If-Match": etag})
    return response


def path_of_workspace(client: httpx2.Client) -> str:
    return str(client.post("/workspaces", json={"name": "Garden"}).headers["location"])


def a_viewers_task(alice: httpx2.Client) -> httpx2.Response:
    with caller(str(alice.base_url), "bob") as bob:
        workspace = path_of_workspace(bob)
        token = bob.post(f"{workspace}/invitations", json={"role": "viewer"}).json()["token"]
    alice.post(ACCEPT, json={"token": token})
    return alice.post(f"{workspace}/tasks", json={"text": "Dig"})


def ones_own_invitation(alice: httpx2.Client) -> httpx2.Response:
    token = alice.post(f"{path_of_workspace(alice)}/invitations", json={"role": "viewer"}).json()["token"]
    return alice.post(ACCEPT, json={"token": token})


def one_attempt_too_many(alice: httpx2.Client) -> httpx2.Response:
    return [alice.post(ACCEPT, json={"token": "made up"}) for _ in range(ATTEMPTS + 1)][-1]


REFUSED: dict[tuple[int, str], Callable[[httpx2.Client], httpx2.Response]] = {
    (401, "no token"): lambda alice: alice.get(MANY, headers={"Authorization": ""}),
    (401, "expired"): lambda alice: alice.get(MANY, headers=bearer(make_token("alice", lifetime=-60))),
    (404, "one task"): lambda alice: call(alice, ("GET", ONE)),
    (404, "several tasks"): lambda alice: call(alice, ("PATCH", MANY), TASK_ID),
    (403, "role"): a_viewers_task,
    (404, "workspace"): lambda alice: alice.get(f"/workspaces/{WORKSPACE_ID}"),
    (404, "one member"): lambda alice: alice.get(f"{path_of_workspace(alice)}/members/bob"),
    (404, "one invitation"): lambda alice: alice.get(f"{path_of_workspace(alice)}/invitations/{WORKSPACE_ID}"),
    (404, "token"): lambda alice: alice.post(ACCEPT, json={"token": "made up"}),
    (409, "last owner"): lambda alice: alice.delete(f"{path_of_workspace(alice)}/members/alice"),
    (409, "already a member"): ones_own_invitation,
    (412, "changed"): outdated_etag,
    (413, "too large"): lambda alice: alice.post(MANY, json={"text": "x" * 70_000}),
    (415, "not JSON"): lambda alice: alice.post(MANY, content="text=Buy+milk"),
    (422, "body"): lambda alice: alice.post(MANY, json={"text": "", "order": "1", "colour": "red"}),
    (422, "parameter"): lambda alice: alice.get(f"{MANY}?limit=1000"),
    (422, "cursor"): page_of_another_list,
    (422, "idempotency key"): key_of_another_request,
    (429, "too many attempts"): one_attempt_too_many,
}
DATABASE = {"database unavailable", "not ready"}


def assert_is(response: httpx2.Response, shown: Any) -> None:
    assert (response.status_code, response.json()) == (shown["status"], shown)
    assert response.headers["x-request-id"] == shown["request_id"]


@pytest.mark.parametrize(("status", "what"), REFUSED)
def test_a_refused_request_gets_the_example_of_its_problem(status: int, what: str, alice: httpx2.Client) -> None:
    assert_is(REFUSED[status, what](alice), PROBLEMS[status][what])


def test_a_row_that_does_not_exist_is_an_example_of_every_resource(alice: httpx2.Client) -> None:
    for one in COLLECTIONS.values():
        shown = described_response("GET", one, 404)["content"]["application/problem+json"]["examples"].values()

        assert call(alice, ("GET", one)).json() in [each["value"] for each in shown]


@pytest.mark.parametrize("what", sorted(DATABASE))
def test_an_unusable_database_gets_the_example_of_its_problem(what: str, url: Url, dba: psycopg.Connection) -> None:
    if what == "not ready":
        dba.execute("alter table app.tasks disable row level security")
    address = url("app_api") if what == "not ready" else url("app_api").replace("?", "_that_never_existed?", 1)
    with calling(address) as client:
        client.headers.update({"X-Request-ID": REQUEST_ID})
        for route in NEEDS_TOKEN:
            assert_is(call(client, route, headers=bearer(make_token("alice"))), PROBLEMS[503][what])
        health, shown = client.get("/health").json(), UNHEALTHY[what]
        of_the_moment = {"checked_seconds_ago", "revision", "reasons"}
        assert masked(health, of_the_moment) == masked(shown, of_the_moment)
        assert set(shown.get("reasons", ())) <= set(health.get("reasons", ()))  # and that no release made it so
        if what == "database unavailable":
            assert masked(client.get("/health/db").json(), of_the_moment) == masked(shown, of_the_moment)


def test_an_internal_error_gets_the_example_of_its_problem(alice: httpx2.Client, dba: psycopg.Connection) -> None:
    dba.execute("revoke all on app.tasks from app_api")
    assert_is(alice.get(MANY), PROBLEMS[500]["defect"])


def test_every_example_of_a_problem_is_asked_for_above() -> None:
    shown = {(status, what) for status, each in PROBLEMS.items() for what in each}

    # test_fairness asks for the one that takes more than one request.
    assert shown == {*REFUSED, (429, "too many"), (500, "defect"), *((503, what) for what in DATABASE)}
    assert UNHEALTHY.keys() == DATABASE
