"""Every request is one round trip to PostgreSQL: begin, one statement, commit."""

import os
from collections.abc import Callable
from contextlib import ExitStack, closing

import httpx2
import pytest

from api.settings import Settings
from tests.support.database import Url
from tests.support.servers import caller, serving
from tests.support.tasks import add
from tests.support.tokens import JWT_SECRET
from tests.support.wire import Wire
from tests.support.workspaces import InWorkspace, create_workspace

Request = Callable[[httpx2.Client, str], httpx2.Response]

REQUESTS: dict[str, Request] = {
    "a page": lambda client, _: client.get("/tasks?sort=-created&completed=false"),
    "one": lambda client, path: client.get(path),
    "one of a trace": lambda client, path: client.get(path, headers={"traceparent": f"00-{'7' * 32}-{'7' * 16}-01"}),
    "one that is not there": lambda client, path: client.get(f"{path[:-4]}0000"),
    "one that has not changed": lambda client, path: client.get(path, headers={"If-None-Match": "*"}),
    "create": lambda client, _: client.post("/tasks", json={"text": "Buy milk"}),
    "replace": lambda client, path: client.put(path, json={"text": "x", "completed": True, "order": 1}),
    "change": lambda client, path: client.patch(path, json={"completed": True}),
    "change if it is there": lambda client, path: client.patch(path, json={"order": 1}, headers={"If-Match": "*"}),
    "change many": lambda client, path: client.patch("/tasks", json={"tasks": [{"id": path[7:], "order": 1}]}),
    "delete": lambda client, path: client.delete(path),
    "delete many": lambda client, _: client.delete("/tasks?completed=true"),
}


def create_once(client: httpx2.Client, _: str) -> httpx2.Response:
    return client.post("/tasks", json={"text": "Buy milk"}, headers={"Idempotency-Key": os.urandom(8).hex()})


def round_trips(url: Url, request: Request, *, pipelining: bool = True, shared: bool = False) -> int:
    """Return the round trips of a request whose statement is prepared: about one's own tasks, or a workspace's."""
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        settings = Settings(
            _env_file=None,
            database_url=wire.url,
            jwt_secret=JWT_SECRET,
            database_pool_size=1,
            database_pipelining=pipelining,
        )
        with serving(settings) as address, caller(address, "alice") as alice, ExitStack() as stack:
            client = alice
            if shared:
                client = stack.enter_context(InWorkspace(address, "alice", create_workspace(alice)["id"]))
            paths = [f"/tasks/{add(client)['id']}" for _ in range(2)]
            first = request(client, paths[0])  # prepares the statement
            before = wire.round_trips
            second = request(client, paths[1])
            assert second.status_code == first.status_code
            return wire.round_trips - before


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_one_round_trip(url: Url, name: str) -> None:
    assert round_trips(url, REQUESTS[name]) == 1


@pytest.mark.parametrize("name", ["a page", "one", "create", "replace", "change many", "delete"])
def test_a_request_to_a_workspace_is_one_round_trip_too(url: Url, name: str) -> None:
    """The message that says who calls says in which workspace; the policies find out whether that may be."""
    assert round_trips(url, REQUESTS[name], shared=True) == 1


@pytest.mark.parametrize("shared", [False, True])
def test_a_creation_that_is_sent_with_a_key_is_two(url: Url, *, shared: bool) -> None:
    """First the row, then what is repeated of it, which has its id; `commit` is sent with that."""
    assert round_trips(url, create_once, shared=shared) == 2


@pytest.mark.parametrize("name", ["one", "create"])
def test_a_setting_sends_one_message_after_the_other(url: Url, name: str) -> None:
    assert round_trips(url, REQUESTS[name], pipelining=False) == 3
