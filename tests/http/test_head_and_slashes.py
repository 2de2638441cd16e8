"""HEAD, OPTIONS and slashes at the end: what a browser and a proxy send without being asked to."""

import asyncio
import re
import socket
from typing import Any

import httpx2
import psycopg
import pytest
from starlette.types import Receive, Scope, Send

from api.http.middleware import HeadAsGet, NormalizePath
from api.settings import Settings
from tests.support.refusals import assert_refused, untouched
from tests.support.routes import CONTEXTS, ROUTES, fill, populate
from tests.support.servers import AccessLog
from tests.support.tasks import add, path
from tests.support.tokens import bearer, make_token

ORIGIN = "https://app.example.com"
UNKNOWN = "/tasks/019a0000-0000-7000-8000-000000000000"
# Every path that has GET, whoever added it.
READABLE = sorted({context.path or "" for context in CONTEXTS if "GET" in (context.methods or ())} - {"/metrics"})


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The usual settings, and an origin whose pages may call."""
    return settings.model_copy(update={"cors_origins": (ORIGIN,)})


def headers(response: httpx2.Response) -> dict[str, str]:
    """Return all headers but those that differ each time."""
    return {name: value for name, value in response.headers.items() if name not in {"date", "x-request-id"}}


def raw(base_url: str, method: str, target: str, *more: str) -> tuple[bytes, bytes]:
    """Send one request; return the head of the response and every byte that follows it."""
    url = httpx2.URL(base_url)
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *more, "", ""]
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    return head, body


# ---- HEAD --------------------------------------------------------------------------------------------


def test_head_is_get_without_the_body_where_no_two_responses_are_the_same(alice: httpx2.Client) -> None:
    head = alice.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0


def test_head_is_get_without_the_body_on_every_route(alice: httpx2.Client, base_url: str) -> None:
    token = f"Authorization: {bearer(make_token('alice'))['Authorization']}"
    places = populate(alice, "alice")
    assert {"/tasks", "/tasks/{task_id}", "/health", "/health/db", "/health/live", "/openapi.json"} <= {*READABLE}
    for template in READABLE:
        where = fill(template, places.get(template, {}))
        for target in (where, f"{where}?limit=0", f"{where}/"):
            get, head = alice.get(target), alice.head(target)

            assert (head.status_code, headers(head)) == (get.status_code, headers(get)), target
            assert head.content == b""
            assert raw(base_url, "HEAD", target, token)[1] == b""


def test_head_of_what_does_not_exist_has_the_status_of_get(
    alice: httpx2.Client, anonymous: httpx2.Client, base_url: str
) -> None:
    for client, target, status in (
        (alice, UNKNOWN, 404),
        (alice, "/nowhere", 404),
        (alice, "/tasks/1", 422),
        (anonymous, "/tasks", 401),
    ):
        get, head = client.get(target), client.head(target)
        assert (get.status_code, head.status_code) == (status, status)
        assert headers(head).keys() == headers(get).keys()
    assert raw(base_url, "HEAD", "/tasks")[1] == b""


def test_head_has_the_link_and_the_etag(alice: httpx2.Client) -> None:
    tasks = [add(alice) for _ in range(2)]

    assert alice.head("/tasks?limit=1").links["next"] == alice.get("/tasks?limit=1").links["next"]
    tag = alice.head(path(tasks[0])).headers["etag"]
    assert alice.head(path(tasks[0]), headers={"If-None-Match": tag}).status_code == 304


def test_head_of_a_defect_has_no_body_either(alice: httpx2.Client, admin: psycopg.Connection, base_url: str) -> None:
    add(alice)
    admin.execute("revoke select on app.tasks from app_api")
    admin.commit()
    token = f"Authorization: {bearer(make_token('alice'))['Authorization']}"

    head, body = raw(base_url, "HEAD", "/tasks", token)

    assert head.startswith(b"HTTP/1.1 500 ")
    assert body == b""


def test_a_connection_stays_usable_after_head(alice: httpx2.Client) -> None:
    for _ in range(3):
        assert alice.head("/tasks").status_code == 200
        assert alice.get("/tasks").json()["items"] == []


# ---- OPTIONS -----------------------------------------------------------------------------------------


def allowed(template: str) -> str:
    methods = [method for method in ("GET", "POST", "PUT", "PATCH", "DELETE") if (method, template) in ROUTES]
    return ", ".join([*methods, "OPTIONS"]).replace("GET", "GET, HEAD")


def test_options_tells_anybody_which_methods_a_path_has(anonymous: httpx2.Client) -> None:
    for template in {template for _, template in ROUTES}:
        where = re.sub(r"{\w+}", "x", template)
        for target in (where, f"{where}/?a=b"):
            response = anonymous.options(target)

            assert (response.status_code, response.content) == (204, b"")
            assert response.headers["allow"] == allowed(template)
    assert anonymous.options("/openapi.json").headers["allow"] == "GET, HEAD, OPTIONS"
    assert_refused(anonymous.options("/nowhere"), 404)


def test_options_and_a_405_name_the_same_methods(alice: httpx2.Client) -> None:
    for target, method in (("/tasks", "PUT"), (UNKNOWN, "POST"), ("/health/", "DELETE"), ("/tasks/", "TRACE")):
        response = alice.request(method, target)

        assert response.status_code == 405
        assert response.headers["allow"] == alice.options(target).headers["allow"]


# ---- slashes -----------------------------------------------------------------------------------------


def test_a_slash_at_the_end_of_a_path_changes_nothing_and_is_no_redirect(
    alice: httpx2.Client, subtests: pytest.Subtests
) -> None:
    whole = {"text": "Buy milk", "completed": True, "order": 2}
    task = add(alice, completed=True)
    calls: list[tuple[str, str, dict[str, Any], int]] = [
        ("POST", "/tasks/", {"json": whole}, 201),
        ("GET", "/tasks/", {}, 200),
        ("GET", "/tasks/?limit=1&sort=-created&completed=true", {}, 200),
        ("GET", "/tasks/?limit=0", {}, 422),
        ("PATCH", "/tasks/", {"json": {"tasks": [{"id": task["id"], "order": 1}]}}, 200),
        ("GET", f"{path(task)}/", {}, 200),
        ("PUT", f"{path(task)}/", {"json": whole}, 200),
        ("PATCH", f"{path(task)}/?x=y", {"json": whole}, 200),
        ("DELETE", f"{path(task)}/", {}, 204),
        ("DELETE", "/tasks/?completed=true", {}, 200),
        ("GET", "/health/", {}, 200),
        ("GET", "/health/live/", {}, 200),
        ("GET", "/docs/", {}, 200),
        ("GET", "/openapi.json/", {}, 200),
    ]
    for method, target, more, status in calls:
        with subtests.test(method, target=target):
            response = alice.request(method, target, follow_redirects=False, **more)

            assert (response.status_code, response.history) == (status, [])
            assert not re.search(r"/[?>]|/$", response.headers.get("location", response.headers.get("link", "")))


def test_a_path_that_does_not_exist_without_the_slash_does_not_exist_with_it(
    alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    add(alice, completed=True)
    for target in ("/", "//", "/tasks//", "/tasks/%2F", "//tasks", "/nowhere/", f"{UNKNOWN}//"):
        with untouched(admin):
            assert alice.get(raw_url(alice, target)).status_code == 404, target
            assert alice.delete(raw_url(alice, target + "?completed=true")).status_code == 404, target


def raw_url(client: httpx2.Client, target: str) -> httpx2.URL:
    """Return a URL whose path is not normalized."""
    return client.base_url.copy_with(raw_path=target.encode())


def test_an_empty_id_deletes_nothing(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    """`/tasks/${id}` with an empty id is the path of the list."""
    add(alice, completed=True)
    with untouched(admin):
        assert_refused(alice.delete("/tasks/"), 422, "completed")
        assert_refused(alice.patch("/tasks/", json={"completed": False}), 422, "#/tasks", "#/completed")


def test_the_log_names_the_route_and_the_method_as_they_were_asked_for(
    alice: httpx2.Client, access_log: AccessLog
) -> None:
    alice.head(f"{UNKNOWN}/")
    alice.options("/tasks/")
    alice.head("/openapi.json/")
    alice.get("/health/live", headers={"X-Request-ID": "last"})

    lines = [(line["method"], line["route"], line["status"]) for line in access_log() if line["request_id"] != "last"]
    assert lines == [("HEAD", "/tasks/{task_id}", 404), ("OPTIONS", "/tasks", 204), ("HEAD", "/openapi.json", 200)]


def test_what_is_not_http_passes_unchanged() -> None:
    scopes: list[Scope] = [{"type": "lifespan"}, {"type": "websocket", "path": "/tasks/"}]
    passed = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope)

    for scope in scopes:
        asyncio.run(NormalizePath(HeadAsGet(app))(scope, None, None))  # type: ignore[arg-type]  # nothing is said
    assert passed == scopes


# ---- a browser on another origin ---------------------------------------------------------------------


def test_a_preflight_to_a_path_with_a_slash_is_not_redirected(anonymous: httpx2.Client) -> None:
    for target in ("/tasks/", f"{UNKNOWN}/", "/tasks/?completed=true"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            asked = {
                "Origin": ORIGIN,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,if-match",
            }
            response = anonymous.options(target, headers=asked, follow_redirects=False)

            assert response.status_code == 200
            assert response.headers["access-control-allow-origin"] == ORIGIN
            assert method in response.headers["access-control-allow-methods"]


def test_a_page_of_another_origin_may_read_what_head_options_and_304_say(alice: httpx2.Client) -> None:
    task = path(add(alice))
    tag = alice.get(task).headers["etag"]
    responses = [
        alice.head("/tasks/", headers={"Origin": ORIGIN}),
        alice.options("/tasks", headers={"Origin": ORIGIN}),
        alice.get(task, headers={"Origin": ORIGIN, "If-None-Match": tag}),
        alice.patch(task, json={"order": 1}, headers={"Origin": ORIGIN, "If-Match": '"0"'}),
    ]

    assert [response.status_code for response in responses] == [200, 204, 304, 412]
    for response in responses:
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert "ETag" in response.headers["access-control-expose-headers"]
