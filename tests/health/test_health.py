"""What the health routes respond to load balancers, whatever state the database is in."""

import asyncio
import socketserver
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import asyncpg
import httpx2
import psycopg
import pytest
from psycopg import sql

from api.health.probe import RESPOND_WITHIN, Probe
from db.embedded import Cluster
from db.revision import NOT_MIGRATED
from tests.support.database import Url
from tests.support.health import HEAD, HEALTHY, assert_unavailable, list_tasks, wait_for_status
from tests.support.servers import calling
from tests.support.tokens import bearer
from tests.support.wire import Wire

DOWN = {"database": "unavailable"}
ROUTES = ("/health", "/health/db", "/health/live")


@pytest.fixture
def wire(url: Url) -> Iterator[Wire]:
    """Return the network between the API and its database, not open yet."""
    with closing(Wire(url("app_api"))) as wire:
        yield wire


# ---- a healthy API ----------------------------------------------------------------------------------


def test_health_is_ok_and_names_the_revision_of_the_schema(anonymous: httpx2.Client) -> None:
    assert HEAD
    responses = [anonymous.get(route) for route in ROUTES]

    assert [response.status_code for response in responses] == [200, 200, 200]
    assert [response.json() for response in responses] == [HEALTHY, {"database": "ok"}, {"status": "ok"}]


def test_health_routes_ignore_tokens(anonymous: httpx2.Client) -> None:
    for route in ROUTES:
        assert anonymous.get(route, headers=bearer("not a token")).status_code == 200


def test_liveness_never_touches_the_database(wire: Wire) -> None:
    wire.open()
    with calling(wire.url) as client:
        before = wire.connections, wire.round_trips  # those of the readiness check
        assert client.get("/health/live").status_code == 200
        assert (wire.connections, wire.round_trips) == before

        assert client.get("/health").status_code == 200
        assert (wire.connections, wire.round_trips) > before


def test_who_asks_at_the_same_time_gets_the_same_reply(url: Url) -> None:
    async def crowd() -> list[str]:
        async with aclosing(Probe(url("app_api"), respond_slowly, timeout=5)) as probe:
            return await asyncio.gather(*(probe.ask(seconds=5) for _ in range(20)))

    async def respond_slowly(connection: asyncpg.Connection) -> str:
        response: str = await connection.fetchval("select now()::text from pg_sleep(0.1)")
        return response

    assert len(set(asyncio.run(crowd()))) == 1


def test_a_dropped_schema_is_reported_at_once(anonymous: httpx2.Client, admin: psycopg.Connection) -> None:
    assert anonymous.get("/health").json() == HEALTHY
    admin.execute("drop schema migrations cascade")
    admin.commit()

    assert_unavailable(anonymous.get("/health"), database="ok", revision=None, reasons=[NOT_MIGRATED])


def test_an_exhausted_pool_is_not_reported_as_an_outage(admin: psycopg.Connection, url: Url) -> None:
    requests = 8  # more than the pool has connections
    with calling(url("app_api")) as client, ThreadPoolExecutor(requests) as threads:
        admin.execute("lock table app.tasks in access exclusive mode")
        pages = [threads.submit(list_tasks, client) for _ in range(requests)]
        waiting = "select count(*) from pg_locks where not granted and relation = 'app.tasks'::regclass"
        while admin.execute(waiting).fetchone() != (2,):
            assert not any(page.done() for page in pages)
            time.sleep(0.01)

        assert client.get("/health").json() == HEALTHY
        assert not any(page.done() for page in pages)

        admin.rollback()
        assert {page.result().status_code for page in pages} == {200}


# ---- the database is unavailable --------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A PostgreSQL of our own to stop and to start, on which one role needs a password."""
    directory = tmp_path_factory.mktemp("locked", numbered=False)
    cluster = Cluster(directory)
    cluster.create()
    rules = directory / "postgres" / "pg_hba.conf"
    rules.write_text(f"local all locked_out scram-sha-256\n{rules.read_text()}")
    cluster.start("fsync=off")
    with psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as admin:
        admin.execute("create role locked_out login password 'right'")
    url = cluster.url("locked_out", "postgres")
    yield SimpleNamespace(cluster=cluster, right=url.replace("@", ":right@"), wrong=url.replace("@", ":wrong@"))
    if cluster.is_running:
        cluster.stop()


def unknown_role(url: Url, _nowhere: Path) -> str:
    return url("nobody_of_that_name")


def role_that_may_not_log_in(url: Url, _nowhere: Path) -> str:
    return url("app_owner")


def unknown_database(url: Url, _nowhere: Path) -> str:
    return url("app_api").replace("?", "_that_never_existed?", 1)


def no_socket(_url: Url, nowhere: Path) -> str:
    return f"postgresql://app_api@/partywall?host={nowhere}"


@pytest.mark.parametrize("name", [unknown_role, role_that_may_not_log_in, unknown_database, no_socket])
def test_a_database_that_cannot_be_reached_is_unavailable(
    name: Callable[[Url, Path], str], url: Url, tmp_path: Path
) -> None:
    with calling(name(url, tmp_path)) as client:
        assert_unavailable(client.get("/health"), **DOWN)
        assert_unavailable(client.get("/health/db"), database="unavailable")
        assert client.get("/health/live").json() == {"status": "ok"}
        assert_unavailable(list_tasks(client))


def test_a_server_that_is_not_postgresql_is_unavailable() -> None:
    class Impostor(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            """Let everybody in, and do not say which version this is."""
            self.request.recv(1024)
            self.request.sendall(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\5I")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Impostor) as server:
        Thread(target=server.serve_forever, args=[0.02]).start()
        try:
            with calling(f"postgresql://app_api@127.0.0.1:{server.server_address[1]}/x?sslmode=disable") as client:
                assert_unavailable(client.get("/health"), **DOWN)
                assert_unavailable(client.get("/health/db"), database="unavailable")
                assert_unavailable(list_tasks(client))
        finally:
            server.shutdown()


def test_a_wrong_password_is_unavailable(locked_cluster: SimpleNamespace) -> None:
    with calling(locked_cluster.wrong) as client:
        assert_unavailable(client.get("/health"), **DOWN)
        assert_unavailable(client.get("/health/db"), database="unavailable")
    with calling(locked_cluster.right) as client:
        assert client.get("/health/db").status_code == 200


@pytest.mark.parametrize(
    "closed", ["revoke connect on database {} from public", "alter database {} connection limit 0"]
)
def test_a_database_that_refuses_connections_is_unavailable(closed: str, url: Url, admin: psycopg.Connection) -> None:
    admin.rollback()
    admin.autocommit = True
    admin.execute(sql.SQL(closed).format(sql.Identifier(admin.info.dbname)))

    with calling(url("app_api")) as client:
        assert_unavailable(client.get("/health"), **DOWN)
        assert_unavailable(client.get("/health/db"), database="unavailable")
        assert_unavailable(list_tasks(client))


def test_a_server_that_is_stopped_and_started_is_noticed_both_times(locked_cluster: SimpleNamespace) -> None:
    with calling(locked_cluster.right) as client:
        assert client.get("/health/db").status_code == 200

        locked_cluster.cluster.stop()
        assert_unavailable(client.get("/health"), **DOWN)
        assert_unavailable(client.get("/health/db"), database="unavailable")

        locked_cluster.cluster.start("fsync=off")
        assert wait_for_status(lambda: client.get("/health/db"), 200).status_code == 200


def test_a_database_without_a_schema_responds_but_cannot_serve(url: Url, admin: psycopg.Connection) -> None:
    empty = f"{admin.info.dbname}_empty"
    admin.rollback()
    admin.autocommit = True
    admin.execute(f'create database "{empty}" template template0')
    try:
        with calling(url("app_api").replace(f"/{admin.info.dbname}?", f"/{empty}?")) as client:
            response = client.get("/health")
            assert_unavailable(response, database="ok", revision=None, reasons=response.json()["reasons"])
            assert any("alembic upgrade head" in reason for reason in response.json()["reasons"])
            assert client.get("/health/db").json() == {"database": "ok"}
    finally:
        admin.execute(f'drop database "{empty}" with (force)')


def test_the_api_starts_before_its_database_and_works_once_that_has_started(wire: Wire) -> None:
    with calling(wire.url) as client:
        assert_unavailable(client.get("/health"), **DOWN)
        response = list_tasks(client)
        assert_unavailable(response)
        assert int(response.headers["retry-after"]) > 0

        wire.open()
        assert client.get("/health").json() == HEALTHY
        assert list_tasks(client).status_code == 200


# ---- the database does not respond ---------------------------------------------------------------------------


@pytest.mark.parametrize("connected_before", [True, False])
def test_each_health_route_responds_while_the_database_hangs(
    connected_before: bool,  # noqa: FBT001 - a test parameter
    wire: Wire,
) -> None:
    """Within RESPOND_WITHIN: they wait for nothing else, or the client would time out."""
    wire.open()
    with calling(wire.url) as client:
        if connected_before:
            assert client.get("/health").status_code == 200
        wire.freeze()

        for _ in range(5):
            assert_unavailable(client.get("/health"), **DOWN)
            assert_unavailable(client.get("/health/db"), database="unavailable")
            assert client.get("/health/live").status_code == 200
        wire.thaw()

    assert RESPOND_WITHIN < 0.1


def test_health_recovers_when_the_database_does(wire: Wire) -> None:
    wire.open()
    with calling(wire.url) as client:
        assert client.get("/health").status_code == 200
        wire.freeze()
        assert client.get("/health").status_code == 503

        wire.thaw()
        assert wait_for_status(lambda: client.get("/health"), 200).json() == HEALTHY


def test_health_recovers_when_the_connection_does_not(wire: Wire) -> None:
    wire.open()
    with calling(wire.url) as client:
        assert client.get("/health").status_code == 200
        wire.freeze()
        assert client.get("/health").status_code == 503

        wire.replace()
        response = wait_for_status(lambda: client.get("/health"), 200, seconds=10)
        wire.thaw()
        assert response.json() == HEALTHY
