"""CORS as a browser sees it: what a page of another origin can do with the API, and what it cannot."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import httpx2
import pytest
from playwright.sync_api import Error, Page

from api.settings import Settings
from tests.support.browser import window
from tests.support.tokens import bearer, make_token

pytestmark = pytest.mark.slow("a browser")

# What a page's own code does and sees: only those headers that the browser lets it read.
FETCH = """
async ([url, request]) => {
    const response = await fetch(url, request);
    return {status: response.status, headers: Object.fromEntries(response.headers), text: await response.text()};
}
"""
KEY = str(UUID(int=7))


class EmptyPage(BaseHTTPRequestHandler):
    """A site with nothing on it: what counts is its origin."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def site() -> Iterator[str]:
    """Serve a site on a free port; give its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def origin() -> Iterator[str]:
    """The origin of a site that may call."""
    with site() as origin:
        yield origin


@pytest.fixture
def settings(settings: Settings, origin: str) -> Settings:
    """The usual settings, and that origin."""
    return settings.model_copy(update={"cors_origins": (origin,)})


@pytest.fixture
def page() -> Iterator[Page]:
    """A window, with nothing in it yet."""
    with window() as page:
        yield page


def fetch(page: Page, url: str, method: str = "GET", body: object = None, **headers: str) -> dict[str, Any]:
    """Call the API as alice, from the code of a page. Raises Error where the page's promise is rejected."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()} | bearer(make_token("alice"))
    request: dict[str, object] = {"method": method, "headers": headers}
    if body is not None:
        headers["Content-Type"] = "application/json"
        request["body"] = json.dumps(body)
    response: dict[str, Any] = page.evaluate(FETCH, [url, request])
    return response


def test_a_page_of_an_allowed_origin_can_create_and_read_where_and_what(page: Page, base_url: str, origin: str) -> None:
    page.goto(origin)

    first = fetch(page, f"{base_url}/tasks", "POST", {"text": "Buy milk"}, Idempotency_Key=KEY, X_Request_ID="my-id")
    again = fetch(page, f"{base_url}/tasks", "POST", {"text": "Buy milk"}, Idempotency_Key=KEY)

    task = json.loads(first["text"])
    assert (first["status"], task["text"], task["user_id"]) == (201, "Buy milk", "alice")
    assert first["headers"]["location"] == f"/tasks/{task['id']}"
    assert first["headers"]["x-request-id"] == "my-id"
    assert first["headers"]["etag"]
    assert "idempotency-replayed" not in first["headers"]
    assert (again["text"], again["headers"]["idempotency-replayed"]) == (first["text"], "true")


def test_a_page_of_an_allowed_origin_can_turn_the_pages_of_a_list(
    page: Page, base_url: str, origin: str, alice: httpx2.Client
) -> None:
    for text in ("Buy milk", "Call Bob"):
        alice.post("/tasks", json={"text": text})
    page.goto(origin)

    first = fetch(page, f"{base_url}/tasks?limit=1")
    link, relation = first["headers"]["link"].split("; ")
    second = fetch(page, base_url + link.strip("<>"))

    assert relation == 'rel="next"'
    assert [json.loads(response["text"])["items"][0]["text"] for response in (first, second)] == [
        "Buy milk",
        "Call Bob",
    ]


def test_a_page_of_an_allowed_origin_can_edit_what_it_has_seen(
    page: Page, base_url: str, origin: str, alice: httpx2.Client
) -> None:
    url = base_url + alice.post("/tasks", json={"text": "Buy milk"}).headers["location"]
    page.goto(origin)

    seen = fetch(page, url)["headers"]["etag"]
    edited = fetch(page, url, "PATCH", {"completed": True}, If_Match=seen)
    late = fetch(page, url, "PUT", {"text": "Buy oat milk", "completed": False, "order": 0}, If_Match=seen)
    unchanged = fetch(page, url, If_None_Match=edited["headers"]["etag"])
    deleted = fetch(page, url, "DELETE", If_Match=edited["headers"]["etag"])

    assert [response["status"] for response in (edited, late, unchanged, deleted)] == [200, 412, 304, 204]
    assert json.loads(edited["text"])["completed"]
    assert late["headers"]["etag"] == edited["headers"]["etag"] != seen
    assert json.loads(late["text"])["request_id"] == late["headers"]["x-request-id"]


def test_a_page_of_any_other_origin_can_do_and_read_nothing(page: Page, base_url: str, alice: httpx2.Client) -> None:
    created = alice.post("/tasks", json={"text": "Buy milk"})
    url = base_url + created.headers["location"]
    attempts: list[tuple[Any, ...]] = [
        (f"{base_url}/tasks",),
        (f"{base_url}/tasks", "POST", {"text": "Call Bob"}),
        (url,),
        (url, "PATCH", {"completed": True}),
        (url, "DELETE"),
    ]
    with site() as elsewhere:
        page.goto(elsewhere)
        for attempt in attempts:
            with pytest.raises(Error, match="TypeError: Failed to fetch"):
                fetch(page, *attempt)
        with pytest.raises(Error, match="TypeError: Failed to fetch"):
            page.evaluate(FETCH, [f"{base_url}/health/live", {}])  # it is sent without asking, but not read

    assert alice.get("/tasks").json()["items"] == [created.json()]
