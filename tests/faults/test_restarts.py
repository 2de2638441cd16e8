"""A server that ends sessions, stops, crashes and starts again, while requests are under way: 503 at worst."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from api.settings import Settings
from db.embedded import Cluster
from tests.support.database import set_up, url_of
from tests.support.faults import assert_no_internal_error, requests, under_load
from tests.support.servers import caller, serving
from tests.support.tokens import JWT_SECRET
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("way")

TERMINATE = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app_api'"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A migrated PostgreSQL of our own, to stop and to start."""
    with TemporaryDirectory(prefix="partywall-") as directory:
        cluster = Cluster(Path(directory))
        cluster.create()
        cluster.start("fsync=off")
        set_up(host=str(cluster.socket_directory), port=5432, user="postgres", dbname="postgres")
        yield cluster
        if cluster.is_running:
            cluster.stop()


@pytest.fixture
def url(cluster: Cluster) -> str:
    return url_of("app_api", {"dbname": "postgres", "host": cluster.socket_directory, "port": 5432})


def test_twenty_terminations_of_all_sessions_cause_no_internal_error(cluster: Cluster, url: str) -> None:
    settings = Settings(_env_file=None, database_url=url, jwt_secret=JWT_SECRET, database_pool_size=5)
    with (
        serving(settings) as address,
        psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as admin,
        under_load(8, requests, lambda: caller(address, "alice")) as statuses,
    ):
        for _ in range(20):
            eventually(lambda: bool(admin.execute(TERMINATE).fetchall()))  # requests open new ones
            time.sleep(0.05)
        served = statuses[201]
        eventually(lambda: statuses[201] > served + 20)
    assert_no_internal_error(statuses)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_restart_causes_no_internal_error(cluster: Cluster, url: str, stop: signal.Signals) -> None:
    settings = Settings(_env_file=None, database_url=url, jwt_secret=JWT_SECRET, database_pool_size=5)
    with serving(settings) as address, under_load(8, requests, lambda: caller(address, "alice")) as statuses:
        pid = int((cluster.socket_directory.parent / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, stop)
        eventually(lambda: not cluster.is_running)
        cluster.start("fsync=off")
        after = statuses[201]
        eventually(lambda: statuses[201] > after + 20)
    assert_no_internal_error(statuses)
    assert statuses[503]


def test_sessions_that_end_because_they_are_idle_fail_no_request(cluster: Cluster, url: str) -> None:
    settings = Settings(_env_file=None, database_url=url, jwt_secret=JWT_SECRET, database_pool_size=3)
    with psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as admin:
        admin.execute("alter role app_api set idle_session_timeout = '100ms'")
        try:
            with serving(settings) as address, caller(address, "alice") as client:
                for _ in range(10):
                    assert [response.status_code for response in requests(client)] == [201, 200, 200, 412, 204]
                    time.sleep(0.1)
        finally:
            admin.execute("alter role app_api reset idle_session_timeout")
