"""Behind a proxy that serves the API below a prefix: `uvicorn --root-path /api`."""

import json
import socket
from collections.abc import Iterator

import httpx2
import pytest

from api.settings import Settings
from tests.support.servers import caller, serving
from tests.support.tasks import add

NOWHERE = "/tasks/019a0000-0000-7000-8000-000000000000"


@pytest.fixture(params=["/api", "/api/", "/one/two"])
def root(request: pytest.FixtureRequest) -> str:
    """What `--root-path` is."""
    prefix: str = request.param
    return prefix


@pytest.fixture(params=["strips", "does not strip"])
def alice(request: pytest.FixtureRequest, settings: Settings, root: str) -> Iterator[httpx2.Client]:
    """Alice, as she calls through a proxy that passes paths on with the prefix or without it."""
    with serving(settings, root_path=root) as address, caller(address, "alice") as client:
        if request.param == "does not strip":
            client.base_url = address + root
        yield client


def test_what_the_api_says_of_itself_has_the_prefix(alice: httpx2.Client, root: str) -> None:
    prefix = root.rstrip("/")
    key = {"Idempotency-Key": "a"}

    created = [alice.post("/tasks", json={"text": "Buy milk"}, headers=key) for _ in range(2)]
    alice.post("/tasks/", json={"text": "Call Bob"})

    assert [response.headers["location"] for response in created] == [f"{prefix}/tasks/{created[0].json()['id']}"] * 2
    link = alice.get("/tasks?limit=1").headers["link"]
    assert link.startswith(f"<{prefix}/tasks?limit=1&cursor=")
    assert alice.get("/openapi.json").json()["servers"][0] == {"url": prefix}
    assert f'href="{prefix}/openapi.json"' in alice.get("/docs").text
    assert 'route="/docs"' in alice.get("/metrics").text
    for response in (alice.get(NOWHERE), alice.get("/tasks?limit=0"), alice.get("/nowhere"), alice.put("/tasks")):
        problem = response.json()
        assert problem["type"] == f"{prefix}/docs/errors#{problem['code']}"


def test_the_links_lead_where_they_say(alice: httpx2.Client, root: str) -> None:
    """As a browser resolves them, which knows the address of the proxy."""
    proxy = alice.base_url.copy_with(path="/")
    for text in ("Buy milk", "Call Bob"):
        location = alice.post("/tasks", json={"text": text}).headers["location"]
        assert alice.get(proxy.join(location)).json()["text"] == text
    link = alice.get("/tasks?limit=1").links["next"]["url"]
    assert [task["text"] for task in alice.get(proxy.join(link)).json()["items"]] == ["Call Bob"]
    type_ = proxy.join(alice.get("/nowhere").json()["type"])
    assert 'id="unknown_path"' in alice.get(type_).text
    assert root.rstrip("/") in type_.path


def test_a_path_of_the_api_can_be_the_prefix(settings: Settings) -> None:
    with serving(settings, root_path="/tasks") as address, caller(address, "alice") as client:
        task = add(client)
        assert client.get("/tasks").json()["items"] == [task]
        assert client.get(f"/tasks/{task['id']}").json() == task


def test_what_is_no_http_has_the_prefix_in_its_type(settings: Settings) -> None:
    with serving(settings, root_path="/api") as address:
        url = httpx2.URL(address)
        with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
            connection.sendall(b"what is this\r\n\r\n")
            body = connection.makefile("rb").read().partition(b"\r\n\r\n")[2]
    assert json.loads(body)["type"] == "/api/docs/errors#bad_request"
