"""Each example of api/openapi.json, asked for: the answer is the example, to the letter."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg import sql

from api.http import examples
from api.http.examples import REQUEST_ID, UNHEALTHY, Problems
from api.tasks.examples import PROBLEMS as TASK_PROBLEMS
from api.tasks.examples import TASK, TASK_ID
from tests.support.database import ROOT, Url
from tests.support.routes import NEEDS_TOKEN, ROUTES, operation, resolve, response
from tests.support.servers import calling
from tests.support.tokens import bearer, make_token

DOCUMENT: dict[str, Any] = json.loads((ROOT / "api" / "openapi.json").read_text())
PROBLEMS = {**examples.PROBLEMS, **TASK_PROBLEMS}
ONE, MANY = "/tasks/{task_id}", "/tasks"
# What the database makes, and no example can foretell.
MADE = {"POST": {"id", "created_at", "updated_at"}, "PUT": {"updated_at"}, "PATCH": {"updated_at"}}

Ask = Callable[..., httpx2.Response]


def asking(client: httpx2.Client) -> Ask:
    """Return a function that calls as alice, with the request id of the examples."""

    def ask(method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
        ours = bearer(make_token("alice")) | {"X-Request-ID": REQUEST_ID}
        return client.request(method, path.format(task_id=TASK_ID), headers=ours | (headers or {}), **more)

    return ask


@pytest.fixture
def ask(anonymous: httpx2.Client) -> Ask:
    return asking(anonymous)


@pytest.fixture
def dba(admin: psycopg.Connection) -> psycopg.Connection:
    """A superuser behind the API's back, whom no trigger sees."""
    admin.rollback()
    admin.autocommit = True
    admin.execute("set session_replication_role = replica")
    return admin


@pytest.fixture
def task(dba: psycopg.Connection) -> None:
    """Put the task of the examples there."""
    columns, values = map(sql.Identifier, TASK), map(sql.Placeholder, TASK)
    query = sql.SQL("insert into app.tasks ({}) values ({})")
    dba.execute(query.format(sql.SQL(", ").join(columns), sql.SQL(", ").join(values)), TASK)


def example_of(described: dict[str, Any] | None) -> Any:
    """Return the example of a body; None where there is none."""
    if described is None or "content" not in described:
        return None
    [example] = resolve(DOCUMENT, described["content"]["application/json"]["schema"])["examples"]
    return example


def request_example(method: str, path: str) -> Any:
    return example_of(operation(DOCUMENT, method, path).get("requestBody"))


def needed(method: str, path: str) -> dict[str, str]:
    """Return the query without which a route does nothing."""
    return {"completed": "true"} if (method, path) == ("DELETE", MANY) else {}


def masked(tree: Any, names: set[str]) -> Any:
    if isinstance(tree, dict):
        return {name: "made" if name in names else masked(branch, names) for name, branch in tree.items()}
    return [masked(branch, names) for branch in tree] if isinstance(tree, list) else tree


# ---- when all is well --------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.usefixtures("task")
def test_the_example_of_a_request_gets_the_example_of_its_answer(
    method: str, path: str, ask: Ask, dba: psycopg.Connection
) -> None:
    if method in {"PUT", "PATCH"}:  # what it writes is new
        dba.execute('update app.tasks set "order" = 99')
    if (method, path) == ("DELETE", MANY):
        dba.execute("update app.tasks set completed = true, completed_at = now()")

    answer = ask(method, path, json=request_example(method, path), params=needed(method, path))

    expected = example_of(response(DOCUMENT, method, path, answer.status_code))
    made = MADE.get(method, set()) | ({"revision"} if path == "/health" else set())
    assert answer.is_success
    assert masked(answer.json() if answer.content else None, made) == masked(expected, made)


# ---- and when it is not ------------------------------------------------------------------------------


def page_of_another_list(ask: Ask) -> httpx2.Response:
    for _ in range(2):
        ask("POST", MANY, json={"text": "Buy milk"})
    cursor = ask("GET", f"{MANY}?sort=-created&completed=false&limit=1").json()["next_cursor"]
    return ask("GET", f"{MANY}?cursor={cursor}")


def key_of_another_request(ask: Ask) -> httpx2.Response:
    for text in ("Buy milk", "Buy bread"):
        answer = ask("POST", MANY, json={"text": text}, headers={"Idempotency-Key": "the-key"})
    return answer


def outdated_version(ask: Ask) -> httpx2.Response:
    created = ask("POST", MANY, json={"text": "Buy milk"})
    for order in (1, 2):
        answer = ask(
            "PATCH", created.headers["location"], json={"order": order}, headers={"If-Match": created.headers["etag"]}
        )
    return answer


REFUSED: dict[tuple[int, str], Callable[[Ask], httpx2.Response]] = {
    (401, "no token"): lambda ask: ask("GET", MANY, headers={"Authorization": ""}),
    (401, "expired"): lambda ask: ask("GET", MANY, headers=bearer(make_token("alice", lifetime=-60))),
    (404, "one task"): lambda ask: ask("GET", ONE),
    (404, "several tasks"): lambda ask: ask("PATCH", MANY, json=request_example("PATCH", MANY)),
    (412, "changed"): outdated_version,
    (413, "too large"): lambda ask: ask("POST", MANY, json={"text": "x" * 70_000}),
    (415, "not JSON"): lambda ask: ask("POST", MANY, content="text=Buy+milk"),
    (422, "body"): lambda ask: ask("POST", MANY, json={"text": "", "order": "1", "colour": "red"}),
    (422, "parameter"): lambda ask: ask("GET", f"{MANY}?limit=1000"),
    (422, "cursor"): page_of_another_list,
    (422, "idempotency key"): key_of_another_request,
}


def assert_is(answer: httpx2.Response, example: Any) -> None:
    assert (answer.status_code, answer.json()) == (example["status"], example)
    assert answer.headers["x-request-id"] == example["request_id"]


@pytest.mark.parametrize(("status", "what"), REFUSED)
def test_a_refused_request_gets_the_example_of_its_problem(status: int, what: str, ask: Ask) -> None:
    assert_is(REFUSED[status, what](ask), PROBLEMS[status][what])


@pytest.mark.parametrize("what", ["database unavailable", "not ready"])
def test_an_unusable_database_gets_the_example_of_its_problem(what: str, url: Url, dba: psycopg.Connection) -> None:
    if what == "not ready":
        dba.execute("update migrations.alembic_version set version_num = '0000'")
    else:
        dba.execute(sql.SQL("alter database {} connection limit 0").format(sql.Identifier(dba.info.dbname)))
    with calling(url("app_api")) as client:
        ask = asking(client)

        for route in NEEDS_TOKEN:
            assert_is(ask(*route, json=request_example(*route), params=needed(*route)), PROBLEMS[503][what])
        assert_is(ask("GET", "/health"), UNHEALTHY[what])
        if what == "database unavailable":
            assert_is(ask("GET", "/health/db"), UNHEALTHY[what])


def test_a_defect_of_ours_gets_the_example_of_its_problem(ask: Ask, dba: psycopg.Connection) -> None:
    dba.execute("revoke all on app.tasks from app_api")
    for route in NEEDS_TOKEN:
        assert_is(ask(*route, json=request_example(*route), params=needed(*route)), PROBLEMS[500]["defect"])


def test_every_example_of_a_problem_is_asked_for_above() -> None:
    def names(of: dict[int, Problems]) -> set[tuple[int, str]]:
        return {(status, what) for status, each in of.items() for what in each}

    assert names(dict(PROBLEMS)) == REFUSED.keys() | {
        (503, "database unavailable"),
        (503, "not ready"),
        (500, "defect"),
    }
    assert UNHEALTHY.keys() == PROBLEMS[503].keys()
