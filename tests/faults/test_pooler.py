"""PgBouncer in front of the database: found out when a connection is opened, whatever it can do."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from api.settings import Settings
from db.embedded import _private_directory, _unprivileged
from tests.support.database import PASSWORD, url_of
from tests.support.faults import assert_no_internal_error, requests, under_load
from tests.support.health import HEALTHY, wait_for_status
from tests.support.servers import caller, serving
from tests.support.tokens import JWT_SECRET
from tests.support.waiting import eventually

PGBOUNCER = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")

pytestmark = [
    pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not on this machine"),
    pytest.mark.usefixtures("way"),
]

# Connections of PgBouncer's to the server: in transaction mode fewer than the API has to PgBouncer.
SERVERS = {"transaction": 3, "session": 10}

Bouncer = Callable[[str], str]


@pytest.fixture
def bouncer(admin: psycopg.Connection) -> Iterator[Bouncer]:
    """Return a function that starts PgBouncer in a mode and returns the URL by which the API logs in through it."""
    assert PGBOUNCER
    info = admin.info
    with ExitStack() as stack:

        def start(mode: str) -> str:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="partywall-")))
            sockets = directory / "sockets"
            _private_directory(sockets)
            (directory / "users").write_text(f'"app_api" "{PASSWORD}"\n')
            (directory / "ini").write_text(
                f"[databases]\n{info.dbname} = host={info.host} port={info.port}\n"
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
            return url_of("app_api", {"dbname": info.dbname, "host": sockets, "port": 6432})

        yield start


@pytest.mark.parametrize("mode", SERVERS)
def test_the_api_works_behind_a_pooler_without_any_setting(
    bouncer: Bouncer, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(_env_file=None, database_url=bouncer(mode), jwt_secret=JWT_SECRET, database_pool_size=5)
    with serving(settings) as address, caller(address, "alice") as client:
        with under_load(4, requests, lambda: caller(address, "alice")) as statuses:
            eventually(lambda: statuses[201] > 50)
        health = wait_for_status(lambda: client.get("/health"), 200).json()
        assert {name: health[name] for name in HEALTHY} == HEALTHY
    assert_no_internal_error(statuses)
    assert not statuses[503]
    assert len([message for message in caplog.messages if "pooler" in message]) <= 1
