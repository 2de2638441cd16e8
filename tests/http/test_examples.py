"""Each example of the OpenAPI document, asked for: the response is the example, to the letter."""

from collections.abc import Callable
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg import sql

from api.http import examples
from api.http.examples import REQUEST_ID, UNHEALTHY
from api.tasks.examples import PROBLEMS as TASK_PROBLEMS
from api.tasks.examples import TASK_ID
from tests.support.database import Url
from tests.support.routes import COLLECTIONS, NEEDS_TOKEN, ROUTES, Route, call, described_response, example
from tests.support.servers import calling
from tests.support.tables import insert_examples
from tests.support.tokens import bearer, make_token

# What the database makes, and no example can foretell.
MADE = {"POST": {"id", "created_at", "updated_at"}, "PUT": {"updated_at"}, "PATCH": {"updated_at"}}
# By status, then by what has happened. Those of tasks are the only ones of a resource that are asked for here.
PROBLEMS = {**examples.PROBLEMS, **TASK_PROBLEMS}
ONE, MANY = "/tasks/{task_id}", "/tasks"


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
def rows(dba: psycopg.Connection) -> dict[str, str]:
    """Insert the example of each resource; return its id by the resource's path."""
    return insert_examples(dba)


def masked(tree: Any, names: set[str]) -> Any:
    if isinstance(tree, dict):
        return {name: "made" if name in names else masked(branch, names) for name, branch in tree.items()}
    return [masked(branch, names) for branch in tree] if isinstance(tree, list) else tree


# ---- when all is well --------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_the_example_of_a_request_gets_the_example_of_its_response(
    route: Route, rows: dict[str, str], alice: httpx2.Client, dba: psycopg.Connection
) -> None:
    method, path = route
    if route == ("DELETE", MANY):
        dba.execute("update app.tasks set completed = true, completed_at = now()")

    response = call(alice, route, rows.get(path.partition("/{")[0], ""))

    made = MADE.get(method, {"revision"})
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


REFUSED: dict[tuple[int, str], Callable[[httpx2.Client], httpx2.Response]] = {
    (401, "no token"): lambda alice: alice.get(MANY, headers={"Authorization": ""}),
    (401, "expired"): lambda alice: alice.get(MANY, headers=bearer(make_token("alice", lifetime=-60))),
    (404, "one task"): lambda alice: call(alice, ("GET", ONE)),
    (404, "several tasks"): lambda alice: call(alice, ("PATCH", MANY), TASK_ID),
    (412, "changed"): outdated_etag,
    (413, "too large"): lambda alice: alice.post(MANY, json={"text": "x" * 70_000}),
    (415, "not JSON"): lambda alice: alice.post(MANY, content="text=Buy+milk"),
    (422, "body"): lambda alice: alice.post(MANY, json={"text": "", "order": "1", "colour": "red"}),
    (422, "parameter"): lambda alice: alice.get(f"{MANY}?limit=1000"),
    (422, "cursor"): page_of_another_list,
    (422, "idempotency key"): key_of_another_request,
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
    else:
        dba.execute(sql.SQL("alter database {} connection limit 0").format(sql.Identifier(dba.info.dbname)))
    with calling(url("app_api")) as client:
        client.headers.update({"X-Request-ID": REQUEST_ID})
        for route in NEEDS_TOKEN:
            assert_is(call(client, route, headers=bearer(make_token("alice"))), PROBLEMS[503][what])
        health, shown = client.get("/health").json(), UNHEALTHY[what]
        assert masked(health, {"revision", "reasons"}) == masked(shown, {"revision", "reasons"})
        assert set(shown.get("reasons", ())) <= set(health.get("reasons", ()))  # and that no release made it so
        if what == "database unavailable":
            assert_is(client.get("/health/db"), UNHEALTHY[what])


def test_an_internal_error_gets_the_example_of_its_problem(alice: httpx2.Client, dba: psycopg.Connection) -> None:
    dba.execute("revoke all on app.tasks from app_api")
    assert_is(alice.get(MANY), PROBLEMS[500]["defect"])


def test_every_example_of_a_problem_is_asked_for_above() -> None:
    shown = {(status, what) for status, each in PROBLEMS.items() for what in each}

    # test_fairness asks for the one that takes more than one request.
    assert shown == {*REFUSED, (429, "too many"), (500, "defect"), *((503, what) for what in DATABASE)}
    assert UNHEALTHY.keys() == DATABASE
