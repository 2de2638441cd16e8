"""While nobody calls, the database is left alone, so that a service can suspend it; the next call is checked first."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import httpx2
import psycopg
import pytest

from api.health.availability import Availability
from api.health.readiness import Readiness
from api.http.problems import NotReadyError
from db.connect import connect
from db.pool import Pool
from tests.support.database import Url
from tests.support.health import HEALTHY, assert_unavailable, list_tasks, state_of, wait_for_status
from tests.support.servers import calling
from tests.support.waiting import eventually
from tests.support.wire import Wire

IDLE = HEALTHY | {"database": "idle"}
CONNECTED = "select count(*) from pg_stat_activity where usename = 'app_api' and datname = current_database()"
SESSIONS = "select sessions from pg_stat_database where datname = current_database()"


@pytest.fixture(autouse=True)
def _checks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 1.0)


@contextmanager
def pausing(database_url: str) -> Iterator[httpx2.Client]:
    """Give a client of an API that pauses after two seconds."""
    with calling(database_url, health_checks_pause_after=2) as client:
        yield client


@pytest.fixture
def client(url: Url) -> Iterator[httpx2.Client]:
    with pausing(url("app_api")) as client:
        yield client


@pytest.fixture
def wire(url: Url) -> Iterator[Wire]:
    wire = Wire(url("app_api"))
    wire.open()
    yield wire
    wire.close()


@pytest.fixture
def admin(admin: psycopg.Connection) -> psycopg.Connection:
    admin.autocommit = True
    return admin


def count(admin: psycopg.Connection, query: str) -> int:
    [number] = admin.execute(query.encode()).fetchone() or ()
    return int(number)


def wait_for_pause(admin: psycopg.Connection) -> None:
    eventually(lambda: count(admin, CONNECTED) == 0)


def test_while_nobody_calls_no_connection_is_open_or_opened(client: httpx2.Client, admin: psycopg.Connection) -> None:
    assert list_tasks(client).status_code == 200
    wait_for_pause(admin)
    sessions = count(admin, SESSIONS)

    for _ in range(20):  # a load balancer, and somebody without a token
        assert state_of(client.get("/health")) == IDLE
        assert state_of(client.get("/health/db")) == {"database": "idle"}
        assert client.get("/health/live").status_code == 200
        assert client.get("/tasks").status_code == 401
        time.sleep(0.1)

    assert (count(admin, CONNECTED), count(admin, SESSIONS)) == (0, sessions)
    assert list_tasks(client).status_code == 200
    assert state_of(client.get("/health")) == HEALTHY


def test_a_hole_that_was_opened_while_nobody_called_is_found_before_the_next_request_is_served(
    client: httpx2.Client, admin: psycopg.Connection
) -> None:
    wait_for_pause(admin)
    admin.execute("alter table app.tasks disable row level security")
    assert state_of(client.get("/health")) == IDLE

    refused = list_tasks(client)

    assert_unavailable(refused)
    assert refused.json()["detail"].startswith("Not ready")


def test_while_it_is_not_ready_it_does_not_pause_or_nobody_would_be_sent_to_it_again(
    client: httpx2.Client, admin: psycopg.Connection
) -> None:
    admin.execute("alter table app.tasks disable row level security")
    assert wait_for_status(lambda: list_tasks(client), 503).status_code == 503
    time.sleep(3.5)
    assert client.get("/health").json()["database"] == "ok"

    admin.execute("alter table app.tasks enable row level security")

    assert wait_for_status(lambda: client.get("/health"), 200).status_code == 200


def test_a_request_waits_for_a_database_that_has_to_be_started_first(wire: Wire, admin: psycopg.Connection) -> None:
    with pausing(wire.url) as client, ThreadPoolExecutor() as threads:
        wait_for_pause(admin)
        wire.freeze()  # it accepts connections and says nothing
        requests = [threads.submit(list_tasks, client) for _ in range(5)]
        time.sleep(1)
        wire.cut()  # then it refuses them
        wire.thaw()
        time.sleep(1)
        assert not any(request.done() for request in requests)
        assert client.get("/health").status_code == 200  # so far it takes no longer than a check may

        wire.mend()

        assert [request.result().status_code for request in requests] == [200] * 5
        assert state_of(client.get("/health")) == HEALTHY


def test_a_database_that_does_not_start_is_waited_for_once(
    wire: Wire, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.health.readiness.RESUME_TIMEOUT", 1.0)
    with pausing(wire.url) as client:
        wait_for_pause(admin)
        wire.cut()
        assert_unavailable(list_tasks(client))
        began = time.monotonic()
        for _ in range(5):
            assert_unavailable(list_tasks(client))
        assert time.monotonic() - began < 1
        assert_unavailable(wait_for_status(lambda: client.get("/health"), 503), database="unavailable")

        wire.mend()

        assert wait_for_status(lambda: list_tasks(client), 200).status_code == 200


def test_a_process_that_was_stopped_serves_nobody_on_what_it_found_before(
    url: Url, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a platform may stop one that has nothing to do."""
    monkeypatch.setattr("api.health.watch.STOPPED_AFTER", 0.5)
    connecting = partial(connect, url("app_api"), application_name="partywall health")

    async def run() -> None:
        async with (
            Pool(url("app_api"), size=1) as pool,
            Availability(connecting, pool, tolerance=3) as database,
            Readiness(connecting, pool, database) as readiness,
        ):
            await readiness.first_check()
            await readiness.require()
            admin.execute("alter table app.tasks disable row level security")
            time.sleep(2)  # noqa: ASYNC251 - nothing runs meanwhile
            with pytest.raises(NotReadyError):
                await readiness.require()

    asyncio.run(run())
