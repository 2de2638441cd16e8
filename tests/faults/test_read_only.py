"""A database that can only be read: reads are served, writes get a 503 that says so, and its end is noticed."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx2
import psycopg
import pytest
from psycopg import sql

from api.settings import Settings
from db.embedded import Cluster
from tests.support.database import Url, url_of, url_to
from tests.support.faults import replica_of
from tests.support.health import wait_for_status
from tests.support.servers import caller, serving
from tests.support.tasks import add
from tests.support.tokens import JWT_SECRET
from tests.support.waiting import eventually
from tests.support.wire import Wire

pytestmark = pytest.mark.usefixtures("way")

WRITES: dict[str, Callable[[httpx2.Client, str], httpx2.Response]] = {
    "create": lambda client, _: client.post("/tasks", json={"text": "Buy milk"}),
    "create once": lambda client, _: client.post("/tasks", json={"text": "x"}, headers={"Idempotency-Key": "key"}),
    "replace": lambda client, path: client.put(path, json={"text": "x", "completed": True, "order": 1}),
    "change": lambda client, path: client.patch(path, json={"completed": True}),
    "change if it is the same": lambda client, path: client.patch(
        path, json={"completed": True}, headers={"If-Match": '"2026-01-01T00:00:00+00:00"'}
    ),
    "delete": lambda client, path: client.delete(path),
    "delete what is not there": lambda client, _: client.delete("/tasks/00000000-0000-7000-8000-000000000000"),
    "change many": lambda client, path: client.patch(
        "/tasks", json={"tasks": [{"id": path.rpartition("/")[2], "completed": True}]}
    ),
    "delete many": lambda client, _: client.delete("/tasks", params={"completed": "true"}),
}


def assert_read_only(response: httpx2.Response) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"]) == (503, "database_read_only"), problem
    assert int(response.headers["Retry-After"]) > 0
    assert "read" in problem["detail"]


def test_every_write_to_a_frozen_database_says_so_and_reads_are_served(url: Url, admin: psycopg.Connection) -> None:
    settings = Settings(_env_file=None, database_url=url("app_api"), jwt_secret=JWT_SECRET, database_pool_size=2)
    freeze = sql.SQL("alter database {} set default_transaction_read_only = {}")
    name = sql.Identifier(admin.info.dbname)
    with serving(settings) as address, caller(address, "alice") as client:
        task = add(client)
        path = f"/tasks/{task['id']}"
        admin.execute(freeze.format(name, sql.Literal("on")))
        admin.commit()
        admin.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'app_api'")

        for write in WRITES.values():
            assert_read_only(write(client, path))
            assert client.get(path).json() == task
        assert client.get("/tasks").json()["items"] == [task]

        admin.execute(freeze.format(name, sql.Literal("off")))
        admin.commit()
        assert wait_for_status(lambda: WRITES["create"](client, path), 201).status_code == 201
        assert WRITES["change"](client, path).status_code == 200


@pytest.fixture
def standby(admin: psycopg.Connection) -> Iterator[Cluster]:
    """A standby that streams from the server of this test's database."""
    if "TEST_DATABASE_URL" in os.environ:
        pytest.skip("the server of TEST_DATABASE_URL may not be one that can be copied")
    with replica_of(url_to(admin, "postgres")) as standby:
        yield standby


def test_a_standby_serves_reads_and_after_a_move_or_its_promotion_writes_too(
    standby: Cluster, url: Url, admin: psycopg.Connection
) -> None:
    at_standby = url_of("app_api", {"dbname": admin.info.dbname, "host": standby.socket_directory, "port": 5432})
    with closing(Wire(at_standby)) as wire:
        wire.open()
        settings = Settings(_env_file=None, database_url=wire.url, jwt_secret=JWT_SECRET, database_pool_size=3)
        with serving(settings) as address, caller(address, "alice") as client:
            assert client.get("/tasks").json()["items"] == []
            assert_read_only(WRITES["create"](client, ""))

            wire.lead_to(url("app_api"))  # the address moves; connections to the standby stay
            response = wait_for_status(lambda: WRITES["create"](client, ""), 201)
            path = response.headers["Location"]

            wire.lead_to(at_standby)
            admin.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'app_api'")
            eventually(lambda: client.get(path).status_code == 200)  # it is replicated
            assert_read_only(WRITES["change"](client, path))

            with psycopg.connect(standby.url("postgres", "postgres"), autocommit=True) as promoter:
                promoter.execute("select pg_promote()")
            assert wait_for_status(lambda: WRITES["change"](client, path), 200).json()["completed"]
