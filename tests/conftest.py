"""The stage: a PostgreSQL, a fresh migrated database per test, the app on a port, Alice, Bob and Charlie."""

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx2
import jwt
import psycopg
import pytest
import uvicorn
from pytest_postgresql import factories

from api.main import create_app
from api.settings import Settings
from db.embedded import ROLES, Cluster

pytest_plugins = ["tests.support.node"]

ROOT = Path(__file__).parent.parent
JWT_SECRET = secrets.token_urlsafe(32)
PASSWORD = secrets.token_urlsafe(16)  # of every role: a server under TEST_DATABASE_URL may ask for one

Url = Callable[[str], str]
AccessLog = Callable[[], list[dict[str, Any]]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run tests. Each has a PostgreSQL of its own, unless one is given to all."""
    return 0 if "TEST_DATABASE_URL" in os.environ else min(os.cpu_count() or 1, 4)


@pytest.fixture(autouse=True, scope="session")
def _environment() -> None:
    """Nothing that is set on this machine decides what is tested."""
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)


@pytest.fixture(scope="session")
def server() -> Iterator[SimpleNamespace]:
    """A PostgreSQL to make databases on: that of TEST_DATABASE_URL (a superuser's), or an embedded one."""
    options = {"options": "", "maintenance_dbname": "postgres", "template_dbname": "template1"}
    if given := os.environ.get("TEST_DATABASE_URL"):
        url = urlsplit(given)
        yield SimpleNamespace(
            host=url.hostname,
            port=url.port or 5432,
            user=unquote(url.username or "postgres"),
            password=unquote(url.password or ""),
            **options,
        )
        return
    with TemporaryDirectory(prefix="partywall-") as directory:
        cluster = Cluster(Path(directory))
        cluster.create()
        cluster.start("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
        yield SimpleNamespace(host=str(cluster.socket_directory), port=5432, user="postgres", password=None, **options)
        cluster.stop()


def alembic(url: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run alembic as the pipeline does."""
    environment = os.environ | {"MIGRATION_DATABASE_URL": url}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=check,
    )


def url_of(role: str, database: Mapping[str, object]) -> str:
    """Return the URL by which `role` reaches a database described in libpq's words."""
    return (
        f"postgresql://{role}:{PASSWORD}@/{database['dbname']}"
        f"?host={quote(str(database['host']), safe='')}&port={database['port']}"
    )


def set_up(**database: Any) -> None:
    """Make the roles and migrate, as an ordinary login: the template that every test's database is a copy of."""
    with psycopg.connect(**database | {"autocommit": True}) as admin:
        admin.execute(ROLES.read_text())
        for role in ("app_api", "app_auditor", "app_migrator"):
            admin.execute(f"alter role {role} password '{PASSWORD}'")
    alembic(url_of("app_migrator", database), "upgrade", "head")


migrated = factories.postgresql_noproc(depends_on="server", dbname="partywall_test", load=[set_up])
admin = factories.postgresql("migrated")


@pytest.fixture
def url(admin: psycopg.Connection) -> Url:
    """The URL by which a role reaches this test's database."""
    info = admin.info
    return lambda role: url_of(role, {"host": info.host, "port": info.port, "dbname": info.dbname})


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve the real app on a free port of 127.0.0.1; give its address."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def uvicorn_printing_to(log: Path, database_url: str, *, workers: int = 1, **environment: str) -> Iterator[str]:
    """Run `uvicorn api.main:app` as production does; give its address when all workers have started."""
    ours = {"DATABASE_URL": database_url, "JWT_SECRET": JWT_SECRET, "PYTHONUNBUFFERED": ""}
    environment = os.environ | ours | environment
    command = [sys.executable, "-m", "uvicorn", "api.main:app", "--app-dir", str(ROOT), "--port", "0"]
    command += ["--workers", str(workers)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=environment, cwd=log.parent, stdout=output, stderr=output) as process,
    ):
        try:
            while log.read_text().count("Application startup complete") < workers or not (
                address := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
            ):
                assert process.poll() is None
                time.sleep(0.02)
            yield address[0]
        finally:
            process.terminate()


@pytest.fixture
def settings(url: Url) -> Settings:
    """The settings of the app under test."""
    return Settings(_env_file=None, database_url=url("app_api"), jwt_secret=JWT_SECRET, database_pool_size=5)


@pytest.fixture
def base_url(settings: Settings) -> Iterator[str]:
    """Where the app under test is."""
    with serving(settings) as address:
        yield address


@pytest.fixture
def anonymous(base_url: str) -> Iterator[httpx2.Client]:
    """A caller without a token."""
    with httpx2.Client(base_url=base_url) as client:
        yield client


def make_token(subject: object, *, lifetime: float = 60, key: str = JWT_SECRET, **claims: object) -> str:
    """Return a token of `subject`, valid for `lifetime` seconds."""
    return jwt.encode({"sub": subject, "exp": int(time.time() + lifetime)} | claims, key, algorithm="HS256")


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries `token`."""
    return {"Authorization": f"Bearer {token}"}


def caller(base_url: str, subject: str) -> httpx2.Client:
    """Return a client that calls as `subject`."""
    return httpx2.Client(base_url=base_url, headers=bearer(make_token(subject)))


@pytest.fixture
def alice(base_url: str) -> Iterator[httpx2.Client]:
    """Alice, who lives here."""
    with caller(base_url, "alice") as client:
        yield client


@pytest.fixture
def bob(base_url: str) -> Iterator[httpx2.Client]:
    """Bob, next door."""
    with caller(base_url, "bob") as client:
        yield client


@pytest.fixture
def charlie(base_url: str) -> Iterator[httpx2.Client]:
    """Charlie, who owns nothing yet."""
    with caller(base_url, "charlie") as client:
        yield client


@pytest.fixture
def access_log(capsys: pytest.CaptureFixture[str]) -> AccessLog:
    """Return a function that returns what was logged of each request since it was called last."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
