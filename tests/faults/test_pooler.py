"""PgBouncer in front of the database: found out when a connection is opened, whatever it can do."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg import sql

from api.http.bookmark import NAME
from api.settings import Settings
from db.embedded import _private_directory, _unprivileged
from db.pool import Pool
from db.session import Session
from tests.support.connections import AT_ONCE
from tests.support.database import PASSWORD, Url, alembic, url_of, url_to
from tests.support.faults import assert_no_internal_error, replica_of, requests, under_load
from tests.support.health import HEALTHY, wait_for_status
from tests.support.servers import AccessLog, caller, calling, serving
from tests.support.tokens import JWT_SECRET, bearer, make_token
from tests.support.waiting import eventually
from tests.support.wire import Wire

PGBOUNCER = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not on this machine")

# Connections of PgBouncer's to the server: in transaction mode fewer than the API has to PgBouncer.
SERVERS = {"transaction": 3, "session": 10, "statement": 1}

Bouncer = Callable[..., str]


@pytest.fixture
def bouncer(admin: psycopg.Connection) -> Iterator[Bouncer]:
    """Return a function that starts PgBouncer in a mode and returns the URL by which a role logs in through it.

    It leads to the server of this test's database, or to another host.
    """
    assert PGBOUNCER
    info = admin.info
    with ExitStack() as stack:

        def start(mode: str, role: str = "app_api", host: str = info.host) -> str:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="partywall-")))
            sockets = directory / "sockets"
            _private_directory(sockets)
            (directory / "users").write_text(f'"{role}" "{PASSWORD}"\n')
            (directory / "ini").write_text(
                f"[databases]\n{info.dbname} = host={host} port={info.port}\n"
                f"[pgbouncer]\nunix_socket_dir = {sockets}\nlisten_port = 6432\nauth_type = scram-sha-256\n"
                f"auth_file = {directory / 'users'}\npool_mode = {mode}\ndefault_pool_size = {SERVERS[mode]}\n"
            )
            command = _unprivileged([PGBOUNCER, "--quiet", str(directory / "ini")])
            process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(process.terminate)
            deadline = time.monotonic() + 10
            while not (sockets / ".s.PGSQL.6432").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            return url_of(role, {"dbname": info.dbname, "host": sockets, "port": 6432})

        yield start


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("cache_size", [100, 0])
@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_the_api_works_behind_a_pooler_without_any_setting(
    bouncer: Bouncer, mode: str, cache_size: int, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(
        _env_file=None,
        database_url=bouncer(mode),
        jwt_secret=JWT_SECRET,
        database_pool_size=5,
        database_statement_cache_size=cache_size,
    )
    with serving(settings) as address, caller(address, "alice") as client:
        with under_load(4, requests, lambda: caller(address, "alice")) as statuses:
            eventually(lambda: statuses[201] > 50)
        health = wait_for_status(lambda: client.get("/health"), 200).json()
        assert {name: health[name] for name in HEALTHY} == HEALTHY
    assert_no_internal_error(statuses)
    assert not statuses[503]
    assert len([message for message in caplog.messages if "pooler" in message]) <= 1
    assert not [message for message in caplog.messages if "at once" in message]


TRACES = """
    select application_name from pg_stat_activity
    where usename = 'app_api' and datname = current_database() and application_name like 'partywall%'
"""


@pytest.mark.usefixtures("way")
def test_a_trace_is_seen_on_the_server_behind_a_pooler_and_on_no_other_ones_transaction(
    bouncer: Bouncer, admin: psycopg.Connection
) -> None:
    async def ask() -> None:
        async with Pool(bouncer("transaction"), size=6) as pool:

            async def name(trace_id: str | None) -> None:
                session = Session(pool, trace_id or "alice", read_only=True, trace_id=trace_id)
                shown = await session.fetchval("select current_setting('application_name') from pg_sleep(0.001)")
                assert shown == (f"partywall {trace_id}" if trace_id else "partywall")

            for number in range(20):
                await asyncio.gather(*(name(f"{number:031x}{each:x}" if each % 2 else None) for each in range(6)))
            left = {shown for (shown,) in admin.execute(TRACES)}
            assert left <= {"partywall", "partywall health"}

    asyncio.run(ask())


@pytest.fixture
def elsewhere(admin: psycopg.Connection) -> Iterator[None]:
    """Have sessions start in another time zone, though db/roles.sql has said UTC."""
    admin.autocommit = True
    database = sql.Identifier(admin.info.dbname)
    admin.execute(sql.SQL("alter database {} set timezone = 'Asia/Tokyo'").format(database))
    admin.execute(sql.SQL("alter role app_api in database {} set timezone = 'Asia/Tokyo'").format(database))
    yield
    admin.execute(sql.SQL("alter role app_api in database {} reset all").format(database))


@pytest.mark.usefixtures("elsewhere", "way")
@pytest.mark.parametrize("pooled", [False, True])
def test_timestamps_are_in_utc_where_a_proxy_drops_the_time_zone_that_the_api_asks_for(
    bouncer: Bouncer, url: Url, *, pooled: bool
) -> None:
    wire = Wire(bouncer("transaction") if pooled else url("app_api"))
    wire.drop("timezone")
    wire.open()
    with closing(wire), calling(wire.url) as client:
        client.headers = bearer(make_token("alice"))
        created = client.post("/tasks", json={"text": "Buy milk"})
        [listed] = client.get("/tasks").json()["items"]
    assert created.json() == listed
    assert created.json()["created_at"].endswith("+00:00")
    assert created.headers["ETag"] == f'"{listed["updated_at"]}"'


LEFT = """
    select count(*) from pg_locks join pg_database as d on d.oid = database
    where locktype = 'advisory' and datname = current_database()
"""


def test_migrations_through_a_pooler_in_transaction_mode_are_refused_and_leave_nothing_to_its_other_clients(
    bouncer: Bouncer, admin: psycopg.Connection
) -> None:
    url = bouncer("transaction", "app_migrator")
    with ThreadPoolExecutor(3) as threads:  # at once, so that none of them has the pooler for itself
        runs = list(threads.map(lambda _: alembic(url, "downgrade", "base", check=False), range(3)))
    for run in runs:
        assert run.returncode == 255
        [sentence] = run.stderr.splitlines()
        assert "leads to a pooler in transaction mode" in sentence
    assert admin.execute(LEFT).fetchone() == (0,)
    assert admin.execute("select to_regclass('app.tasks')::text").fetchone() == ("app.tasks",)
    with psycopg.connect(url) as next_client:
        assert next_client.execute("select current_user").fetchone() == ("app_migrator",)


def test_migrations_run_through_a_pooler_in_session_mode(bouncer: Bouncer) -> None:
    url = bouncer("session", "app_migrator")
    alembic(url, "downgrade", "-1")
    alembic(url, "upgrade", "head")
    assert alembic(url, "check").returncode == 0


def test_migrations_through_a_pooler_without_transactions_are_refused_in_a_sentence(bouncer: Bouncer) -> None:
    run = alembic(bouncer("statement", "app_migrator"), "upgrade", "head", check=False)
    assert run.returncode == 255
    [sentence] = run.stderr.splitlines()
    assert "transaction blocks not allowed in statement pooling mode" in sentence


@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="that server may not be one that can be copied")
@pytest.mark.parametrize("way", [AT_ONCE], indirect=True)
@pytest.mark.usefixtures("way")
def test_a_replica_behind_a_pooler_serves_reads_and_no_bookmark_is_missed(
    bouncer: Bouncer, url: Url, admin: psycopg.Connection, access_log: AccessLog
) -> None:
    with replica_of(url_to(admin, "postgres")) as standby:
        settings = Settings(
            _env_file=None,
            database_url=url("app_api"),
            database_replica_url=bouncer("transaction", host=str(standby.socket_directory)),
            jwt_secret=JWT_SECRET,
        )
        with serving(settings) as address, caller(address, "alice") as client:
            eventually(lambda: client.get("/health").json()["replica"] == "ok")
            access_log()
            for number in range(20):
                written = client.post("/tasks", json={"text": "x"})
                time.sleep(number % 5 * 0.1)
                page = client.get("/tasks", headers={NAME: written.headers[NAME]})
                assert len(page.json()["items"]) == number + 1
            assert {line.get("database") for line in access_log()} >= {"replica"}
