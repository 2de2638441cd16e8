"""Every statement of the API goes to one shard, whoever adds it: what it costs does not grow with the cluster."""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import psycopg
import pytest

from api.settings import Settings
from db.session import Transaction
from tests.support.citus import Cluster
from tests.support.routes import COLLECTIONS, NEEDS_TOKEN, call, create, populate
from tests.support.servers import caller, serving
from tests.support.tasks import add, page
from tests.support.workspaces import InWorkspace

Plans = dict[str, list[int]]
"""The number of tasks of each part of a statement."""


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> Plans:
    """Return how Citus plans each statement of the API, when it is sent for the first time."""
    planned: Plans = {}
    run = Transaction._run  # noqa: SLF001 - every statement goes through it

    async def recording(transaction: Transaction, method: Any, query: str, arguments: Any) -> Any:
        if query not in planned:
            begin = transaction._begin  # noqa: SLF001 - the context of the statement
            planned[query] = await tasks_of(cluster.url("app_api"), begin, query, arguments)
        return await run(transaction, method, query, arguments)

    monkeypatch.setattr(Transaction, "_run", recording)
    return planned


async def tasks_of(url: str, begin: str, query: str, arguments: Sequence[object]) -> list[int]:
    """Return how many tasks each part of a statement has."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(begin)
        plan = await connection.fetch(f"explain (costs off) {query}", *arguments)
    finally:
        await connection.close()
    return [int(count) for count in re.findall(r"Task Count: (\d+)", str(plan))]


def use_everything(address: str) -> None:
    """Call every route, in every order and with every filter, so that each of its statements is sent."""
    with caller(address, "alice") as alice, caller(address, "bob") as bob:
        places = populate(alice, "alice")
        for route in NEEDS_TOKEN:
            if not route[0].startswith("DELETE"):
                call(alice, route, places[route[1]], headers={"If-Match": "*"})
        for collection in COLLECTIONS:
            create(alice, collection, **{"Idempotency-Key": uuid4().hex})
        workspace = places["/workspaces/{workspace_id}"]["workspace_id"]
        with InWorkspace(address, "alice", workspace) as owner, InWorkspace(address, "bob", workspace) as outsider:
            for client, another in ((alice, bob), (owner, outsider)):
                use_tasks(client, another)
        role = {"role": "editor"}
        token = alice.post(f"/workspaces/{workspace}/invitations", json=role).json()["token"]
        bob.post("/invitations/accept", json={"token": token})
        bob.post("/invitations/accept", json={"token": token})
        alice.patch(f"/workspaces/{workspace}/members/bob", json={"role": "viewer"})
        bob.delete(f"/workspaces/{workspace}/members/bob")
        for route in NEEDS_TOKEN:
            if route[0] == "DELETE" and route[1] != "/workspaces/{workspace_id}":
                call(alice, route, places[route[1]])
        alice.delete(f"/workspaces/{workspace}")


def use_tasks(client: httpx2.Client, another: httpx2.Client) -> None:
    """Read and write tasks in each way; also as somebody else, who is told why not: by other statements."""
    ids = [add(client, str(n))["id"] for n in range(3)]
    for sort in ("order", "-order", "created", "-created"):
        for query in ({}, {"completed": False}, {"q": "1"}, {"completed": True, "q": "1"}):
            first = page(client, sort=sort, limit=1, **query)
            if cursor := first["next_cursor"]:
                page(client, sort=sort, limit=1, cursor=cursor, **query)
    client.patch("/tasks", json={"tasks": [{"id": each, "order": 7, "completed": True} for each in ids]})
    one, two, _ = [f"/tasks/{each}" for each in ids]
    etag = client.get(one).headers["etag"]
    client.put(one, json={"text": "x", "completed": False, "order": 1}, headers={"If-Match": etag})
    client.patch(one, json={"text": "y"}, headers={"If-None-Match": etag})
    for _ in range(2):
        client.post("/tasks", json={"text": "x"}, headers={"Idempotency-Key": ids[0]})
    for response in (
        another.get("/tasks"),
        another.get(two),
        another.delete(two),
        another.patch(two, json={"order": 1}),
    ):
        assert response.status_code in {200, 404}, response.text
    client.delete(two, headers={"If-Match": etag})
    client.delete("/tasks", params={"completed": "true"})


def test_every_statement_goes_to_one_shard(settings: Settings, plans: Plans) -> None:
    with serving(settings) as address:
        use_everything(address)
    assert len(plans) > 60
    assert {query: tasks for query, tasks in plans.items() if any(count != 1 for count in tasks)} == {}
    assert [
        query for query, tasks in plans.items() if not tasks and re.search(r"\b(from|into|update) app\.\w+ ", query)
    ] == []


@pytest.fixture
def counters(admin: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Count the queries of the sessions that start from now on: of one shard, and of several."""
    admin.execute("alter role app_api set citus.enable_stat_counters = on")
    yield admin
    admin.execute("alter role app_api reset citus.enable_stat_counters")


def test_what_is_executed_goes_to_one_shard_too(
    cluster: Cluster, counters: psycopg.Connection, settings: Settings
) -> None:
    """Functions run statements that no plan shows; a plan that is used again is not the one of the first time."""
    del cluster
    with serving(settings) as address:
        for _ in range(8):  # from the sixth time on a prepared statement may have a generic plan
            use_everything(address)
    query = """
        select query_execution_single_shard, query_execution_multi_shard from citus_stat_counters
        where name = current_database()
    """
    [(single, several)] = counters.execute(query).fetchall()
    assert single > 1000
    assert several == 0
