"""What every request gets, whichever route it asks for: an id, a line in the log, CORS, errors of one shape."""

import json
import logging
import os
import re
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest

from api.settings import Settings
from tests.support.database import Url
from tests.support.refusals import assert_refused
from tests.support.servers import AccessLog, serving, uvicorn_printing_to
from tests.support.tokens import bearer, make_token
from tests.support.waiting import eventually

ORIGIN = "https://app.example.com"
PRIVATE_TEXT = "the surprise party is on Friday"
PRIVATE_CURSOR = "b3JkZXItYW5kLWlk"
UNKNOWN_ID = UUID(int=7)
JSON = {"Content-Type": "application/json"}
TOO_LARGE = json.dumps({"text": "x" * 70_000})
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The usual settings, and an origin whose pages may call."""
    return settings.model_copy(update={"cors_origins": (ORIGIN, "http://localhost:3000")})


# ---- one of everything -------------------------------------------------------------------------------

Request = tuple[str, str, dict[str, Any]]

# The request, the status of its response, the template of its route; made by a caller with a token.
GOOD: dict[str, tuple[Request, int, str | None]] = {
    "created": (("POST", "/tasks", {"json": {"text": PRIVATE_TEXT}}), 201, "/tasks"),
    "page": (("GET", "/tasks?limit=7", {}), 200, "/tasks"),
    "live": (("GET", "/health/live", {}), 200, "/health/live"),
    "document": (("GET", "/openapi.json", {}), 200, "/openapi.json"),
    "preflight": (("OPTIONS", "/tasks", {"headers": PREFLIGHT}), 200, None),
}
BAD: dict[str, tuple[Request, int, str | None]] = {
    "refused preflight": (("OPTIONS", "/tasks", {"headers": PREFLIGHT | {"Origin": "https://x.test"}}), 400, None),
    "no token": (("GET", f"/tasks/{UNKNOWN_ID}", {"headers": {"Authorization": ""}}), 401, "/tasks/{task_id}"),
    "bad token": (("GET", "/tasks", {"headers": {"Authorization": "Bearer what.is.this"}}), 401, "/tasks"),
    "unknown path": (("GET", f"/nowhere/{UNKNOWN_ID}", {}), 404, None),
    "unknown task": (("GET", f"/tasks/{UNKNOWN_ID}", {}), 404, "/tasks/{task_id}"),
    "unknown method": (("POST", f"/tasks/{UNKNOWN_ID}", {}), 405, "/tasks/{task_id}"),
    "too large": (("POST", "/tasks", {"content": TOO_LARGE, "headers": JSON}), 413, "/tasks"),
    "not JSON by name": (("POST", "/tasks", {"content": "text=x", "headers": {"Content-Type": "a/b"}}), 415, "/tasks"),
    "not JSON": (("POST", "/tasks", {"content": PRIVATE_TEXT, "headers": JSON}), 422, "/tasks"),
    "not a field": (("POST", "/tasks", {"json": {"text": PRIVATE_TEXT, "x": 1}}), 422, "/tasks"),
    "not a cursor": (("GET", f"/tasks?cursor={PRIVATE_CURSOR}", {}), 422, "/tasks"),
    "not an id": (("DELETE", "/tasks/1", {}), 422, "/tasks/{task_id}"),
}
ALL = GOOD | BAD
STATUSES = {name: status for name, (_, status, _) in ALL.items()}


def send(client: httpx2.Client, request: Request, **headers: str) -> httpx2.Response:
    method, path, more = request
    return client.request(method, path, **more | {"headers": headers | more.get("headers", {})})


def forget_a_grant(admin: psycopg.Connection) -> None:
    """Break the deployment so that the database refuses what the API does."""
    admin.execute("revoke select on app.tasks from app_api")
    admin.commit()


def swallow_new_rows(admin: psycopg.Connection) -> None:
    """Break the deployment so that the API's own code fails."""
    admin.execute("create schema scratch")
    admin.execute("create function scratch.swallow() returns trigger language plpgsql as 'begin return null; end'")
    admin.execute("create trigger swallow before insert on app.tasks for each row execute function scratch.swallow()")
    admin.commit()


# ---- errors ------------------------------------------------------------------------------------------


# RFC 9110, 15.5
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
}


def test_every_error_has_the_same_shape(alice: httpx2.Client) -> None:
    responses = {name: send(alice, request) for name, (request, _, _) in BAD.items()}

    assert {name: response.status_code for name, response in responses.items()} == {
        name: STATUSES[name] for name in BAD
    }
    types = {name: response.headers["content-type"] for name, response in responses.items()}
    assert types == dict.fromkeys(responses, "application/problem+json")
    for response in responses.values():
        problem = response.json()
        more = {"errors"} if response.status_code == 422 else set()
        assert problem.keys() == {"type", "title", "status", "detail", "code", "request_id"} | more
        assert problem["type"] == f"/docs/errors#{problem['code']}"
        assert (problem["status"], problem["request_id"]) == (response.status_code, response.headers["x-request-id"])
        assert problem["title"] == TITLES[response.status_code]
        assert problem["detail"]


@pytest.mark.parametrize(
    ("break_something", "cause"),
    [(forget_a_grant, "permission denied for table tasks"), (swallow_new_rows, "not enough values to unpack")],
)
def test_an_internal_error_tells_the_caller_nothing_and_the_log_everything(
    break_something: Callable[[psycopg.Connection], None],
    cause: str,
    alice: httpx2.Client,
    admin: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    break_something(admin)

    response = alice.post("/tasks", json={"text": PRIVATE_TEXT}, headers={"Origin": ORIGIN, "X-Request-ID": "the-id"})

    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert response.json() == {
        "type": "/docs/errors#internal_error",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Internal error. Report the request_id.",
        "code": "internal_error",
        "request_id": "the-id",
    }
    assert response.headers["x-request-id"] == "the-id"
    assert response.headers["access-control-allow-origin"] == ORIGIN
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert vars(record)["request_id"] == "the-id"
    assert record.exc_info
    assert cause in str(record.exc_info[1])


def test_an_internal_error_affects_one_request(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    forget_a_grant(admin)
    assert alice.get("/tasks").status_code == 500

    admin.execute("grant select on app.tasks to app_api")
    admin.commit()
    assert alice.get("/tasks").status_code == 200


def test_a_method_that_a_path_does_not_have_is_405_with_those_that_it_has(alice: httpx2.Client) -> None:
    responses = [alice.put("/tasks"), alice.post(f"/tasks/{UNKNOWN_ID}"), alice.post("/health")]

    assert [response.status_code for response in responses] == [405, 405, 405]
    allowed = [response.headers["allow"] for response in responses]
    assert allowed == [
        "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
        "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
        "GET, HEAD, OPTIONS",
    ]


# ---- caches ------------------------------------------------------------------------------------------


def test_no_shared_cache_may_keep_what_a_caller_was_sent(alice: httpx2.Client) -> None:
    task = alice.post("/tasks", json={"text": PRIVATE_TEXT})
    etag = {"If-None-Match": task.headers["etag"]}
    responses = {name: send(alice, request) for name, (request, _, _) in ALL.items() if "preflight" not in name}
    responses |= {
        "row": alice.get(task.headers["location"]),
        "unchanged": alice.get(task.headers["location"], headers=etag),
        "head": alice.head("/tasks"),
        "stale": alice.patch(task.headers["location"], json={"text": "x"}, headers={"If-Match": '"0"'}),
        "methods": alice.options("/tasks"),
        "deleted": alice.delete(task.headers["location"]),
    }

    assert responses["unchanged"].status_code == 304
    for name, response in responses.items():
        assert response.headers.get_list("cache-control") == ["private, no-cache"], name
        assert response.headers.get_list("vary") == ["Authorization, Origin"], name


def test_an_internal_error_is_private_too(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    forget_a_grant(admin)
    response = alice.get("/tasks")

    assert (response.status_code, response.headers["cache-control"]) == (500, "private, no-cache")


def test_no_browser_guesses_what_a_response_is(alice: httpx2.Client) -> None:
    requests = [*[request for request, _, _ in ALL.values()], ("GET", "/docs", {}), ("GET", "/metrics", {})]
    requests += [("GET", "/docs/assets/docs.js", {}), ("GET", "/health", {}), ("HEAD", "/tasks", {})]
    for request in requests:
        assert send(alice, request).headers.get_list("x-content-type-options") == ["nosniff"], request


# ---- request ids -------------------------------------------------------------------------------------


def raw_response(base_url: str, header: bytes) -> bytes:
    """Send one request with this header exactly as it is, and return all that comes back."""
    url = httpx2.URL(base_url)
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + b"\r\n\r\n")
        return connection.makefile("rb").read()


def request_ids(response: bytes) -> list[str]:
    return re.findall(r"^x-request-id: (.*)\r$", response.decode("latin-1"), re.MULTILINE | re.IGNORECASE)


SAFE = ("7", "A-z_0.9", "x" * 128, str(uuid4()))
UNSAFE = (
    b"",
    b"x" * 129,
    b"two words",
    b"a\tb",
    b'a"b',
    b"%0d%0a",
    "naïve".encode(),
    "naïve".encode("latin-1"),
    b"\xff",
)
ENDS_OF_LINE = (b"\n", b"\r", b"\r\n ", b"\x00", b"\x0b", "\u2028".encode(), "\u0085".encode())


def test_a_safe_request_id_is_kept(base_url: str) -> None:
    assert [request_ids(raw_response(base_url, f"X-Request-ID: {each}".encode())) for each in SAFE] == [
        [each] for each in SAFE
    ]


def test_an_unsafe_request_id_is_replaced_by_a_new_one(base_url: str) -> None:
    responses = [request_ids(raw_response(base_url, b"X-Request-ID: " + each)) for each in UNSAFE * 2]

    assert {len(ids) for ids in responses} == {1}
    assert len({UUID(request_id) for [request_id] in responses}) == len(responses)


def test_a_request_id_injects_no_header(base_url: str) -> None:
    for end_of_line in ENDS_OF_LINE:
        response = raw_response(base_url, b"X-Request-ID: safe" + end_of_line + b"Set-Cookie: evil=1")

        assert response.startswith(b"HTTP/1.1 ")
        assert b"evil" not in response


def test_every_response_carries_a_request_id(alice: httpx2.Client) -> None:
    for request, status, _ in ALL.values():
        mine, new = send(alice, request, **{"X-Request-ID": "mine"}), send(alice, request)

        assert (mine.status_code, new.status_code) == (status, status)
        assert mine.headers.get_list("x-request-id") == ["mine"]
        UUID(new.headers["x-request-id"])


# ---- the access log ----------------------------------------------------------------------------------


def test_every_request_is_one_line_in_the_log(alice: httpx2.Client, access_log: AccessLog) -> None:
    responses = [send(alice, request) for request, _, _ in ALL.values()]
    # A request is logged after its response, but before the response to the next one.
    alice.get("/health/live", headers={"X-Request-ID": "last"})

    lines = [line for line in access_log() if line["request_id"] != "last"]
    assert [(line["request_id"], line["method"], line["route"], line["status"]) for line in lines] == [
        (response.headers["x-request-id"], method, route, status)
        for response, ((method, _, _), status, route) in zip(responses, ALL.values(), strict=True)
    ]
    assert all(0 < line["duration_ms"] < 10_000 for line in lines)


def test_whoever_leaves_in_the_middle_of_a_body_is_no_internal_error(
    base_url: str, access_log: AccessLog, caplog: pytest.LogCaptureFixture
) -> None:
    url = httpx2.URL(base_url)
    lines: list[dict[str, Any]] = []
    head = ["POST /tasks HTTP/1.1", "Host: x", f"Authorization: Bearer {make_token('alice')}", "Content-Length: 20"]
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall("\r\n".join([*head, "Content-Type: application/json", "", '{"text":']).encode())

    def is_logged() -> bool:
        lines.extend(access_log())
        return bool(lines)

    eventually(is_logged)
    assert [(line["route"], line["status"]) for line in lines] == [("/tasks", 400)]
    assert caplog.records == []


def test_requests_are_served_while_the_log_cannot_be_written(
    alice: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with monkeypatch.context() as patch, suppress(BrokenPipeError), os.fdopen(writer, "w") as broken:
        patch.setattr(sys, "stdout", broken)
        statuses = [alice.get("/tasks").status_code for _ in range(100)]
    assert statuses == [200] * 100


def test_production_prints_json_only_and_no_secret(url: Url, admin: psycopg.Connection, tmp_path: Path) -> None:
    token = make_token("alice")
    log = tmp_path / "log"
    with (
        uvicorn_printing_to(log, url("app_api"), CORS_ORIGINS=ORIGIN) as address,
        httpx2.Client(base_url=address, headers=bearer(token)) as alice,
    ):
        responses = [send(alice, request) for request, _, _ in ALL.values()]
        task_id = responses[0].json()["id"]
        responses += [alice.get(f"/tasks/{task_id}")]
        assert responses[-2].headers["x-request-id"] in log.read_text()  # at once, not when the buffer is full
        forget_a_grant(admin)
        responses += [alice.get("/tasks")]
    output = log.read_text()

    assert [response.status_code for response in responses[-2:]] == [200, 500]
    lines = [json.loads(line) for line in output.splitlines()]
    access = [line for line in lines if line["logger"] == "partywall.access"]
    assert [line["request_id"] for line in access] == [response.headers["x-request-id"] for response in responses]
    assert [line["status"] for line in access] == [response.status_code for response in responses]
    expected = {"time", "level", "logger", "message", "request_id", "method", "route", "status", "duration_ms"}
    sometimes = {"user", "cause", "sqlstate"}  # with a token that is valid; of the one that failed
    assert {frozenset(line.keys() - sometimes) for line in access} == {frozenset(expected)}
    # Uvicorn's own line per request would be a second one.
    assert {line["logger"] for line in lines} == {"partywall.access", "partywall.errors", "uvicorn.error"}
    [error] = [line for line in lines if line["level"] == "ERROR"]
    assert error["request_id"] == responses[-1].headers["x-request-id"]
    assert "permission denied" in error["exc_info"]
    secrets = (token, "what.is.this", PRIVATE_TEXT, PRIVATE_CURSOR, "limit=7", task_id, str(UNKNOWN_ID), "nowhere")
    assert [secret for secret in secrets if secret in output] == []


# ---- CORS --------------------------------------------------------------------------------------------


def cors(response: httpx2.Response) -> dict[str, str]:
    """Return the headers that a browser decides by."""
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


def names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


EXPOSED = {"etag", "idempotency-replayed", "link", "location", "partywall-bookmark", "retry-after", "x-request-id"}


def test_pages_of_a_configured_origin_may_read_responses_and_errors(alice: httpx2.Client) -> None:
    for origin in (ORIGIN, "http://localhost:3000"):
        for path, status in (("/tasks", 200), ("/tasks/1", 422), (f"/tasks/{UNKNOWN_ID}", 404), ("/nowhere", 404)):
            response = alice.get(path, headers={"Origin": origin})

            assert response.status_code == status
            assert cors(response)["access-control-allow-origin"] == origin
            assert names(cors(response)["access-control-expose-headers"]) == EXPOSED
            assert "access-control-allow-credentials" not in cors(response)
            assert "origin" in names(response.headers["vary"])


def test_a_page_may_read_why_nobody_is_calling(anonymous: httpx2.Client) -> None:
    response = anonymous.get("/tasks", headers={"Origin": ORIGIN})

    assert (response.status_code, cors(response)["access-control-allow-origin"]) == (401, ORIGIN)


OTHER_ORIGINS = (
    "https://evil.example",
    "http://app.example.com",
    f"{ORIGIN}:8443",
    f"{ORIGIN}.evil.example",
    f"{ORIGIN}/",
    "https://appxexample.com",
    ORIGIN.upper(),
    "null",
    "*",
    "",
)


def test_pages_of_any_other_origin_may_not(alice: httpx2.Client) -> None:
    for origin in OTHER_ORIGINS:
        responses = [
            alice.get("/tasks", headers={"Origin": origin}),
            alice.get("/nowhere", headers={"Origin": origin}),
            alice.options("/tasks", headers=PREFLIGHT | {"Origin": origin}),
        ]

        assert [response.status_code for response in responses] == [200, 404, 400]
        assert not any("access-control-allow-origin" in response.headers for response in responses)


def test_without_configured_origins_no_page_may_call(settings: Settings) -> None:
    closed = settings.model_copy(update={"cors_origins": ()})
    with serving(closed) as address, httpx2.Client(base_url=address, headers={"Origin": ORIGIN}) as client:
        assert "access-control-allow-origin" not in client.get("/health").headers
        assert "access-control-allow-origin" not in client.options("/tasks", headers=PREFLIGHT).headers


def test_a_preflight_needs_no_token_and_allows_what_the_api_uses(anonymous: httpx2.Client) -> None:
    asked = "authorization,content-type,idempotency-key,if-match,if-none-match,x-request-id"
    asked += ",baggage,sentry-trace,traceparent,tracestate"
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        headers = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": asked}
        response = anonymous.options("/tasks", headers=PREFLIGHT | headers)

        assert response.status_code == 200
        assert cors(response)["access-control-allow-origin"] == ORIGIN
        assert method.lower() in names(cors(response)["access-control-allow-methods"])
        assert names(asked) <= names(cors(response)["access-control-allow-headers"])
        assert "access-control-allow-credentials" not in cors(response)


@pytest.mark.parametrize("asked", ["", "if-match, ,authorization", ",Authorization"])
def test_an_empty_element_of_what_a_preflight_asks_for_is_none(asked: str, anonymous: httpx2.Client) -> None:
    response = anonymous.options("/tasks", headers=PREFLIGHT | {"Access-Control-Request-Headers": asked})

    assert response.status_code == 200
    assert "" not in names(cors(response)["access-control-allow-headers"])


def test_a_preflight_refuses_other_methods_and_headers(anonymous: httpx2.Client) -> None:
    for header, value in (("Method", "TRACE"), ("Headers", "Authorization, X-Evil")):
        response = anonymous.options("/tasks", headers=PREFLIGHT | {f"Access-Control-Request-{header}": value})

        assert_refused(response, 400)
        assert response.json()["code"] == "cors_refused"
        assert response.json()["detail"].startswith(f"Disallowed CORS {header.lower()}. ")
        assert cors(response)["access-control-allow-origin"] == ORIGIN
        assert "trace" not in names(cors(response)["access-control-allow-methods"])
        assert "x-evil" not in names(cors(response)["access-control-allow-headers"])


def test_more_headers_can_be_allowed(settings: Settings) -> None:
    more = settings.model_copy(update={"cors_headers": ("X-Tenant", "x-datadog-trace-id")})
    with serving(more) as address, httpx2.Client(base_url=address) as client:
        asked = {"Access-Control-Request-Headers": "authorization, x-datadog-trace-id,x-tenant"}
        response = client.options("/tasks", headers=PREFLIGHT | asked)
    assert response.status_code == 200
    assert {"x-tenant", "x-datadog-trace-id", "if-match"} <= names(cors(response)["access-control-allow-headers"])
