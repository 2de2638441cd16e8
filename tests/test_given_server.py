"""TEST_DATABASE_URL: any server will do whose superuser it names, and a wrong one ends the run with one sentence."""

import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest
from psycopg.sql import quote as quote_literal

from tests.support.database import ROOT
from tests.support.tls import PASSWORD, Server, free_port, password_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks everybody for a password, and on which no role is called postgres."""
    with password_server(tmp_path_factory.mktemp("server")) as server:
        with psycopg.connect(server.superuser, dbname="postgres", autocommit=True) as admin:
            admin.execute(f"create role boss superuser login password {quote_literal(PASSWORD)}")
        with psycopg.connect(url(server), autocommit=True) as boss:
            boss.execute("alter role postgres rename to somebody")
        yield server


def url(server: Server, *, user: str = "boss", password: str = PASSWORD, database: str = "postgres") -> str:
    return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{server.port}/{database}"


def pytest_with(test_database_url: str, *tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "-n", "0", *tests]
    environment = os.environ | {"TEST_DATABASE_URL": test_database_url}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_server_with_another_superuser_and_passwords_will_do(server: Server) -> None:
    """Alembic, the audit, psql and the API reach it."""
    done = pytest_with(
        url(server).replace("postgresql:", "postgresql+asyncpg:"),
        "tests/db/test_isolation.py",
        "tests/db/test_migrations.py::test_up_down_up_leaves_what_up_leaves",
        "tests/commands/test_audit.py::test_a_healthy_database_is_clean_for_every_login",
    )

    assert done.returncode == 0, done.stdout


def test_a_server_that_will_not_do_ends_the_run_with_one_sentence(server: Server, subtests: pytest.Subtests) -> None:
    reasons = {
        f"postgresql://boss@127.0.0.1:{free_port()}/postgres": "Connection refused",
        url(server, password="wrong"): "password authentication failed",  # noqa: S106
        url(server, user="only_plain"): "only_plain is no superuser",
        url(server, database="nothing"): 'database "nothing" does not exist',
        "mysql://localhost/postgres": "mysql://localhost",
        url(server) + "?colour=red": "colour",
    }
    for wrong, reason in reasons.items():
        with subtests.test(reason):
            done = pytest_with(wrong, "tests/test_layout.py", "tests/db/test_isolation.py")

            assert done.returncode == pytest.ExitCode.USAGE_ERROR
            [sentence, repeated] = [line for line in (done.stdout + done.stderr).splitlines() if line]
            assert sentence.startswith("Exit: TEST_DATABASE_URL cannot be used: ")
            assert reason in sentence
            assert sentence.removeprefix("Exit: ") in repeated
