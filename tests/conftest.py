"""Fixtures: a PostgreSQL, a fresh migrated database per test, the app on a port, Alice, Bob and Charlie."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import httpx2
import psycopg
import pytest
from pytest_postgresql import factories

from api.settings import Settings
from db.connection import Connection
from db.embedded import Cluster
from tests.support import citus
from tests.support.audits import remember_audits
from tests.support.connections import AT_ONCE, STEP_BY_STEP
from tests.support.database import AS_POSTGRES, Url, WrongServerError, given_server, prepare, set_up, url_to
from tests.support.servers import NO_TLS, AccessLog, caller, serving
from tests.support.statements import STATEMENTS, WITHOUT_TENANT, record_statements, without_a_tenant
from tests.support.tokens import JWT_SECRET

pytest_plugins = ["pytester", "tests.support.node", "tests.support.reporting"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run tests. Each has a PostgreSQL of its own, unless one is given to all.

    More than there are cores, because a test often waits: for another process, or until something is late.
    """
    return 0 if "TEST_DATABASE_URL" in os.environ or citus.GIVEN else min((os.cpu_count() or 1) + 1, 4)


def pytest_sessionstart(session: pytest.Session) -> None:
    """End the run with one sentence, instead of an error for each test, if TEST_DATABASE_URL is wrong."""
    if "TEST_DATABASE_URL" in os.environ and not hasattr(session.config, "workerinput"):
        try:
            prepare(given_server())
        except WrongServerError as error:
            pytest.exit(f"TEST_DATABASE_URL cannot be used: {error}", returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(autouse=True, scope="session")
def _environment() -> None:
    """Nothing that is set on this machine decides what is tested."""
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)


@pytest.fixture(autouse=True, scope="session")
def _audits() -> Iterator[None]:
    """The audit that the app runs when it starts is run once for each state of the catalogs."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        remember_audits(monkeypatch)
        yield


ROOM = 2**31  # bytes that the databases of one PostgreSQL never need


@pytest.fixture(scope="session")
def server() -> Iterator[SimpleNamespace]:
    """A PostgreSQL to make databases on: that of TEST_DATABASE_URL (a superuser's), or an embedded one."""
    options = {"options": "", "maintenance_dbname": "postgres", "template_dbname": "template1"}
    if "TEST_DATABASE_URL" in os.environ:
        given = given_server()
        yield SimpleNamespace(**options | given | {"maintenance_dbname": given["dbname"], "options": AS_POSTGRES})
        return
    # In memory, where there is room: each test makes a database, which on a busy disk took ten times as long.
    in_memory = Path("/dev/shm")  # noqa: S108 - TemporaryDirectory makes a name of its own
    roomy = in_memory.is_dir() and shutil.disk_usage(in_memory).free > ROOM
    with TemporaryDirectory(prefix="partywall-", dir=in_memory if roomy else None) as directory:
        cluster = Cluster(Path(directory))
        cluster.create()
        cluster.start(
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=200",
            "max_wal_size=128MB",
            "jit=off",  # Debian's can, and takes 20 seconds to compile what psql asks of the audit once
        )
        yield SimpleNamespace(host=str(cluster.socket_directory), port=5432, user="postgres", password=None, **options)
        cluster.stop()


migrated = factories.postgresql_noproc(depends_on="server", dbname="partywall_test", load=[set_up])
admin = citus.admin if citus.GIVEN else factories.postgresql("migrated")
citus_nodes = citus.citus_nodes


@pytest.fixture
def url(admin: psycopg.Connection) -> Url:
    """Return a function that gives the URL by which a role reaches this test's database."""
    return lambda role: url_to(admin, role)


@pytest.fixture
def settings(url: Url) -> Settings:
    """Return the settings of the app under test."""
    return Settings(_env_file=None, database_url=url("app_api"), jwt_secret=JWT_SECRET, database_pool_size=10)


@pytest.fixture(params=[AT_ONCE, STEP_BY_STEP])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Send a transaction of one statement at once, or step by step, as where that does not work. Return which."""

    async def works(connection: Connection) -> bool:
        connection.pipeline = None
        return True

    if request.param == STEP_BY_STEP:
        monkeypatch.setattr("db.connect.works", works)
    way: str = request.param
    return way


@pytest.fixture
def statements(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """See that every statement of the API names its tenant; send it without, if that is the parameter. Return which."""
    how = getattr(request, "param", STATEMENTS[0])
    sent = record_statements(monkeypatch, without_tenant=how == WITHOUT_TENANT)
    yield how
    assert without_a_tenant(sent) == []


@pytest.fixture
def base_url(settings: Settings, statements: str) -> Iterator[str]:
    """Return the address of the app under test."""
    del statements
    with serving(settings) as address:
        yield address


@pytest.fixture
def anonymous(base_url: str) -> Iterator[httpx2.Client]:
    """Return a client without a token."""
    with httpx2.Client(base_url=base_url, verify=NO_TLS) as client:
        yield client


@pytest.fixture
def alice(base_url: str) -> Iterator[httpx2.Client]:
    """Return a client that calls as Alice."""
    with caller(base_url, "alice") as client:
        yield client


@pytest.fixture
def bob(base_url: str) -> Iterator[httpx2.Client]:
    """Return a client that calls as Bob."""
    with caller(base_url, "bob") as client:
        yield client


@pytest.fixture
def charlie(base_url: str) -> Iterator[httpx2.Client]:
    """Return a client that calls as Charlie."""
    with caller(base_url, "charlie") as client:
        yield client


@pytest.fixture
def access_log(capsys: pytest.CaptureFixture[str]) -> AccessLog:
    """Return a function that returns what was logged of each request since it was called last."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
