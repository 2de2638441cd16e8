"""Every request is one round trip to PostgreSQL: begin, one statement, commit."""

import os
from collections.abc import Callable
from contextlib import closing

import httpx2
import pytest

from api.settings import Settings
from tests.support.database import Url
from tests.support.servers import caller, serving
from tests.support.tasks import add
from tests.support.tokens import JWT_SECRET
from tests.support.wire import Wire

Request = Callable[[httpx2.Client, str], httpx2.Response]

REQUESTS: dict[str, Request] = {
    "a page": lambda client, _: client.get("/tasks?sort=-created&completed=false"),
    "one": lambda client, path: client.get(path),
    "one that is not there": lambda client, path: client.get(f"{path[:-4]}0000"),
    "one that has not changed": lambda client, path: client.get(path, headers={"If-None-Match": "*"}),
    "create": lambda client, _: client.post("/tasks", json={"text": "Buy milk"}),
    "create once": lambda client, _: client.post(
        "/tasks", json={"text": "Buy milk"}, headers={"Idempotency-Key": os.urandom(8).hex()}
    ),
    "replace": lambda client, path: client.put(path, json={"text": "x", "completed": True, "order": 1}),
    "change": lambda client, path: client.patch(path, json={"completed": True}),
    "change if it is there": lambda client, path: client.patch(path, json={"order": 1}, headers={"If-Match": "*"}),
    "change many": lambda client, path: client.patch("/tasks", json={"tasks": [{"id": path[7:], "order": 1}]}),
    "delete": lambda client, path: client.delete(path),
    "delete many": lambda client, _: client.delete("/tasks?completed=true"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_one_round_trip(url: Url, name: str) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        settings = Settings(_env_file=None, database_url=url("app_api"), jwt_secret=JWT_SECRET, database_pool_size=1)
        through = settings.model_copy(update={"database_url": type(settings.database_url)(wire.url)})
        with serving(through) as address, caller(address, "alice") as client:
            paths = [f"/tasks/{add(client)['id']}" for _ in range(2)]
            first = REQUESTS[name](client, paths[0])  # prepares the statement
            before = wire.round_trips
            second = REQUESTS[name](client, paths[1])
            assert second.status_code == first.status_code
            assert wire.round_trips - before == 1
