"""What the health routes respond to load balancers, whatever state the database is in."""

import gc
import re
import socketserver
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import httpx2
import psycopg
import pytest
from psycopg import sql

from benchmarks.proxy import proxy
from db.embedded import Cluster
from db.revision import NOT_MIGRATED
from tests.support.database import PASSWORD, Url, alembic
from tests.support.health import HEAD, HEALTHY, SLOW, assert_unavailable, list_tasks, state_of, wait_for_status
from tests.support.servers import AccessLog, calling
from tests.support.tokens import bearer, make_token
from tests.support.waiting import eventually
from tests.support.wire import Wire

DOWN = {"database": "unavailable"}
SOON = {"database_unavailable_after": 2}  # seconds
ROUTES = ("/health", "/health/db", "/health/live")


@pytest.fixture
def wire(url: Url) -> Iterator[Wire]:
    """Return the network between the API and its database, not open yet."""
    with closing(Wire(url("app_api"))) as wire:
        yield wire


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A PostgreSQL of our own to stop and to start, on which one role needs a password."""
    directory = tmp_path_factory.mktemp("own", numbered=False)
    cluster = Cluster(directory)
    cluster.create()
    rules = directory / "postgres" / "pg_hba.conf"
    rules.write_text(f"local all locked_out scram-sha-256\n{rules.read_text()}")
    cluster.start("fsync=off")
    with psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as admin:
        admin.execute("create role locked_out login password 'right'")
    url = cluster.url("locked_out", "postgres")
    yield SimpleNamespace(
        cluster=cluster,
        signal=directory / "postgres" / "standby.signal",
        right=url.replace("@", ":right@"),
        wrong=url.replace("@", ":wrong@"),
    )
    if cluster.is_running:
        cluster.stop()


# ---- a healthy API ----------------------------------------------------------------------------------


def test_health_is_ok_and_names_the_revision_of_the_schema(anonymous: httpx2.Client) -> None:
    assert HEAD
    responses = [anonymous.get(route) for route in ROUTES]

    assert [response.status_code for response in responses] == [200, 200, 200]
    assert [state_of(response) for response in responses[:2]] == [HEALTHY, {"database": "ok"}]
    assert responses[2].json() == {"status": "ok"}


def test_health_routes_ignore_tokens(anonymous: httpx2.Client) -> None:
    for route in ROUTES:
        assert anonymous.get(route, headers=bearer("not a token")).status_code == 200


def test_no_health_route_waits_for_the_database(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.health.availability.CHECK_INTERVAL", 3600)
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 3600)
    wire.open()
    with calling(wire.url) as client:
        before = wire.connections, wire.round_trips
        for route in ROUTES:
            assert client.get(route).status_code == 200
        assert (wire.connections, wire.round_trips) == before


def test_a_dropped_schema_is_reported(anonymous: httpx2.Client, admin: psycopg.Connection) -> None:
    assert state_of(anonymous.get("/health")) == HEALTHY
    admin.execute("drop schema migrations cascade")
    admin.commit()

    response = wait_for_status(lambda: anonymous.get("/health"), 503)
    assert_unavailable(response, database="ok", revision=None, reasons=[NOT_MIGRATED])


def test_an_exhausted_pool_is_not_reported_as_an_outage(admin: psycopg.Connection, url: Url) -> None:
    users = ["alice", "bob"] * 4  # more requests than the pool has connections
    with calling(url("app_api"), **SOON) as client, ThreadPoolExecutor(len(users)) as threads:
        admin.execute("lock table app.tasks in access exclusive mode")
        pages = [threads.submit(client.get, "/tasks", headers=bearer(make_token(user))) for user in users]
        waiting = "select count(*) from pg_locks where not granted and relation = 'app.tasks'::regclass"
        while admin.execute(waiting).fetchone() != (2,):
            assert not any(page.done() for page in pages)
            time.sleep(0.01)

        time.sleep(SOON["database_unavailable_after"] + 0.5)
        assert state_of(client.get("/health")) == HEALTHY
        assert not all(page.done() for page in pages)
        admin.rollback()


def test_a_distant_database_is_ready_and_served_from_the_start(
    server: SimpleNamespace, admin: psycopg.Connection
) -> None:
    with proxy(Path(server.host), delay=0.2) as distant:
        login = f"app_api:{PASSWORD}"
        with calling(f"{distant.url(login, admin.info.dbname)}?sslmode=disable") as client:
            assert state_of(client.get("/health")) == HEALTHY
            assert state_of(client.get("/health/db")) == {"database": "ok"}
            assert list_tasks(client).status_code == 200
            time.sleep(1.5)  # as long as a check takes
            assert state_of(client.get("/health")) == HEALTHY


def test_a_connection_that_ends_is_no_outage(
    anonymous: httpx2.Client, admin: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    pids = "select array_agg(pid order by pid) from pg_stat_activity where application_name = 'partywall health'"
    end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'partywall health'"
    admin.rollback()
    admin.autocommit = True
    before = admin.execute(pids).fetchone()
    admin.execute(end)
    eventually(lambda: admin.execute(pids).fetchone() not in (before, (None,)))  # the availability's is there again
    assert state_of(anonymous.get("/health")) == HEALTHY
    assert "unavailable" not in caplog.text


def test_where_postgresql_has_no_place_for_the_check_the_pool_tells(url: Url, admin: psycopg.Connection) -> None:
    admin.rollback()
    admin.autocommit = True
    with calling(url("app_api"), **SOON) as client:
        assert list_tasks(client).status_code == 200  # the pool has a connection now
        # Which connections there are is what counts, and superusers are not counted.
        admin.execute(sql.SQL("alter database {} connection limit 0").format(sql.Identifier(admin.info.dbname)))
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'partywall health'"
        )
        time.sleep(SOON["database_unavailable_after"] + 0.5)  # without any request
        assert state_of(client.get("/health")) == HEALTHY


# ---- the database does not take writes -----------------------------------------------------------------------


@pytest.fixture
def frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the policies more often than in production."""
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 0.2)


@pytest.mark.usefixtures("frequent_checks")
def test_a_database_that_is_read_only_is_ready_for_reads(
    url: Url, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def alter(change: str) -> None:  # for new sessions
        admin.execute(sql.SQL("alter database {} ").format(sql.Identifier(admin.info.dbname)) + sql.SQL(change))

    admin.rollback()
    admin.autocommit = True
    with calling(url("app_api")) as client:
        alter("set default_transaction_read_only = on")
        eventually(lambda: client.get("/health").json()["database"] == "read only")
        assert state_of(client.get("/health")) == HEALTHY | {"database": "read only"}
        assert state_of(client.get("/health/db")) == {"database": "read only"}
        assert list_tasks(client).status_code == 200

        # What ends it is not always a change of this database: an address may move.
        monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 3600)
        time.sleep(0.5)
        alter("reset default_transaction_read_only")
        eventually(lambda: state_of(client.get("/health")) == HEALTHY)
    assert "not ready" not in caplog.messages
    told = [line for line in caplog.messages if line.startswith("the database ")]
    assert told == ["the database is read only", "the database takes writes again"]


@pytest.fixture
def standby(own_cluster: SimpleNamespace) -> Iterator[Cluster]:
    """A migrated database on a standby that has lost its primary."""
    cluster: Cluster = own_cluster.cluster
    cluster.prepare()
    alembic(cluster.url("app_migrator"), "upgrade", "head")
    cluster.stop()
    own_cluster.signal.touch()
    cluster.start("fsync=off")
    yield cluster
    promote(cluster)


def promote(cluster: Cluster) -> None:
    with psycopg.connect(cluster.url("postgres", "postgres")) as admin:
        admin.execute("select pg_promote() where pg_is_in_recovery()")


def test_a_standby_is_ready_for_reads_and_for_writes_once_it_is_promoted(standby: Cluster) -> None:
    with calling(standby.url("app_api")) as client:
        assert state_of(client.get("/health")) == HEALTHY | {"database": "read only"}
        assert list_tasks(client).status_code == 200

        promote(standby)
        eventually(lambda: state_of(client.get("/health")) == HEALTHY)


# ---- the database is unavailable --------------------------------------------------------------------


def unknown_role(url: Url, _nowhere: Path) -> str:
    return url("nobody_of_that_name")


def role_that_may_not_log_in(url: Url, _nowhere: Path) -> str:
    return url("app_owner")


def unknown_database(url: Url, _nowhere: Path) -> str:
    return url("app_api").replace("?", "_that_never_existed?", 1)


def no_socket(_url: Url, nowhere: Path) -> str:
    return f"postgresql://app_api@/partywall?host={nowhere}"


def closed_port(_url: Url, _nowhere: Path) -> str:
    return "postgresql://app_api:secret@127.0.0.1:1/partywall"


def unknown_host(_url: Url, _nowhere: Path) -> str:
    return "postgresql://app_api:secret@nowhere.invalid/partywall"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        (unknown_role, "28P01|28000 .*nobody_of_that_name"),
        (role_that_may_not_log_in, "28000 .*not permitted to log in"),
        (unknown_database, "3D000 .*does not exist"),
        (no_socket, "No such file"),
        (closed_port, "refused|Connect call failed"),
        (unknown_host, "not known|failure in name resolution|No address"),
    ],
)
def test_a_database_that_cannot_be_reached_is_unavailable_and_the_log_says_why_once(
    name: Callable[[Url, Path], str],
    cause: str,
    url: Url,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.health.watch.RETRY_INTERVAL", 0.01)
    with calling(name(url, tmp_path)) as client:
        assert_unavailable(client.get("/health"), **DOWN)
        assert_unavailable(client.get("/health/db"), **DOWN)
        assert client.get("/health/live").json() == {"status": "ok"}
        for _ in range(3):  # each asks the database
            assert_unavailable(list_tasks(client))

    [line] = [each for each in caplog.messages if each.startswith("the database is unavailable: ")]
    assert re.search(cause, line)
    assert "secret" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_503_is_one_line_that_says_why(url: Url, admin: psycopg.Connection, access_log: AccessLog) -> None:
    admin.rollback()
    admin.autocommit = True
    with calling(url("app_api")) as client:
        assert client.get("/health").status_code == 200  # and the pool has no connection yet
        admin.execute(sql.SQL("alter database {} connection limit 0").format(sql.Identifier(admin.info.dbname)))
        access_log()
        request_id = list_tasks(client).headers["x-request-id"]
        [line] = access_log()

    assert (line["request_id"], line["status"], line["route"]) == (request_id, 503, "/tasks")
    assert line["cause"].startswith("53300 too many connections for database")


# asyncpg cannot delete a connection that it could not finish making.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function Connection.__del__")
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
    gc.collect()  # or a later test would have the warning


def test_a_wrong_password_is_unavailable(own_cluster: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    with calling(own_cluster.wrong) as client:
        assert_unavailable(client.get("/health"), **DOWN)
        assert_unavailable(client.get("/health/db"), **DOWN)
    assert 'the database is unavailable: 28P01 password authentication failed for user "locked_out"' in caplog.messages
    with calling(own_cluster.right) as client:
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


def test_a_server_that_is_stopped_and_started_is_noticed_both_times(
    own_cluster: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    with calling(own_cluster.right, **SOON) as client:
        assert client.get("/health/db").status_code == 200

        own_cluster.cluster.stop()
        assert_unavailable(wait_for_status(lambda: client.get("/health/db"), 503), **DOWN)
        assert_unavailable(client.get("/health"), **DOWN)
        assert client.get("/health").json()["checked_seconds_ago"] >= SOON["database_unavailable_after"]

        own_cluster.cluster.start("fsync=off")
        assert wait_for_status(lambda: client.get("/health/db"), 200).status_code == 200
    down, *starting, up = [line for line in caplog.messages if line.startswith("the database is ")]
    assert "No such file" in down or "refused" in down or "terminat" in down
    assert all("starting up" in line or "No such file" in line for line in starting)
    assert re.fullmatch(r"the database is available again, after \d+\.\d seconds", up)


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
            assert state_of(client.get("/health/db")) == {"database": "ok"}
    finally:
        admin.execute(f'drop database "{empty}" with (force)')


def test_the_api_starts_before_its_database_and_works_once_that_has_started(wire: Wire) -> None:
    with calling(wire.url) as client:
        assert_unavailable(client.get("/health"), **DOWN)
        response = list_tasks(client)
        assert_unavailable(response)
        assert int(response.headers["retry-after"]) > 0

        wire.open()
        assert list_tasks(client).status_code == 200
        assert state_of(wait_for_status(lambda: client.get("/health"), 200)) == HEALTHY


# ---- the database does not respond ---------------------------------------------------------------------------


def test_a_database_that_hangs_is_unavailable_in_time_and_available_once_it_goes_on(wire: Wire) -> None:
    wire.open()
    with calling(wire.url, **SOON) as client:
        assert client.get("/health").status_code == 200
        wire.freeze()

        assert_unavailable(wait_for_status(lambda: client.get("/health"), 503), **DOWN)
        assert_unavailable(client.get("/health/db"), **DOWN)
        assert client.get("/health/live").status_code == 200

        wire.thaw()
        assert state_of(wait_for_status(lambda: client.get("/health"), 200, seconds=10)) == HEALTHY


def test_health_recovers_when_the_connection_does_not(wire: Wire) -> None:
    wire.open()
    with calling(wire.url, **SOON) as client:
        wire.freeze()
        assert wait_for_status(lambda: client.get("/health"), 503).status_code == 503

        wire.replace()
        response = wait_for_status(lambda: client.get("/health"), 200, seconds=10)
        wire.thaw()
        assert state_of(response) == HEALTHY


@pytest.mark.usefixtures("frequent_checks")
def test_a_check_of_the_policies_that_takes_long_makes_the_database_no_older(
    url: Url, admin: psycopg.Connection
) -> None:
    admin.rollback()
    admin.autocommit = True
    with calling(url("app_api"), **SOON) as client:
        admin.execute(SLOW)
        running = "select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
        eventually(lambda: admin.execute(running).fetchone() is not None)
        time.sleep(SOON["database_unavailable_after"] + 0.5)
        assert admin.execute(running).fetchone() is not None
        assert state_of(client.get("/health")) == HEALTHY
