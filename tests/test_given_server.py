"""TEST_DATABASE_URL: any server will do whose superuser it names, and a wrong one ends the run with one sentence."""

import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest
from psycopg.sql import quote as quote_literal

from tests.support.database import ROOT, WrongServerError, given_server
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
    """Alembic, the audit and the API's role reach it, each in its own process. A run before was killed."""
    with psycopg.connect(url(server), autocommit=True) as boss:
        for name in ("partywall_test", "partywall_test_tmpl"):
            boss.execute(f"create database {name} is_template {name.endswith('_tmpl')}")
    done = pytest_with(
        url(server).replace("postgresql:", "postgresql+asyncpg:"),
        "tests/db/test_migrations.py::test_up_down_up_leaves_what_up_leaves",
        "tests/commands/test_audit.py::test_a_healthy_database_is_clean_for_every_login[app_api]",
        "tests/commands/test_audit.py::test_a_healthy_database_is_clean_for_every_login[postgres]",
    )

    assert done.returncode == 0, done.stdout


def test_a_server_that_will_not_do_is_told_in_a_sentence(
    server: Server, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    reasons = {
        f"postgresql://boss@127.0.0.1:{free_port()}/postgres": "Connection refused",
        url(server, password="wrong"): "password authentication failed",  # noqa: S106
        url(server, user="only_plain"): "only_plain is no superuser",
        url(server, database="nothing"): 'database "nothing" does not exist',
        "mysql://localhost/postgres": "mysql://localhost",
        url(server) + "?colour=red": "colour",
    }
    for wrong, reason in reasons.items():
        monkeypatch.setenv("TEST_DATABASE_URL", wrong)
        with subtests.test(reason), pytest.raises(WrongServerError, match=reason) as error:
            given_server()
        assert "\n" not in str(error.value)


def test_that_sentence_is_all_that_a_run_says() -> None:
    done = pytest_with(f"postgresql://boss@127.0.0.1:{free_port()}/postgres", "tests/db")

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    said = [line.strip("! ") for line in (done.stdout + done.stderr).splitlines() if line]
    assert len(said) == 2  # pytest has it twice
    assert all("Exit: TEST_DATABASE_URL cannot be used: connection failed" in line for line in said)
