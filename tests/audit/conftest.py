"""A healthy database in which the twins of the checks, and mutations, are made."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor

pytest.register_assert_rewrite("tests.support.twins")

from tests.support.database import url_of  # noqa: E402 - after the asserts of twins are rewritten
from tests.support.mutations import Healthy  # noqa: E402 - the same
from tests.support.twins import DATABASE, HEALTHY, run  # noqa: E402 - the same


@pytest.fixture(scope="module")
def database(migrated: NoopExecutor) -> Iterator[dict[str, Any]]:
    """A migrated database that every test of a module leaves as it was, in libpq's words."""
    host, port, user, password = migrated.host, migrated.port, migrated.user, migrated.password
    template = migrated.template_dbname
    with DatabaseJanitor(host=host, port=port, user=user, password=password, dbname=DATABASE, template_dbname=template):
        yield {"host": host, "port": port, "user": user, "password": password, "dbname": DATABASE}


@pytest.fixture(scope="module")
def healthy(database: dict[str, Any]) -> Iterator[psycopg.Connection]:
    """A superuser's connection to it, in which the twins are made."""
    with psycopg.connect(**database) as connection:
        run(connection, "set jit = off")  # compiling the query takes longer than running it
        run(connection, HEALTHY)
        run(connection, "prepare findings as select * from audit.findings")
        connection.commit()
        yield connection


@pytest.fixture
def scratch(healthy: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The healthy database, with a role `readers`, for changes that are rolled back."""
    run(healthy, "create role readers")
    yield healthy
    healthy.rollback()


@pytest.fixture(scope="module")
def mutable(database: dict[str, Any]) -> Iterator[Healthy]:
    """The database in which mutations are made."""
    healthy = Healthy(url_of("postgres", database))
    yield healthy
    healthy.close()
