"""A healthy database in which the twins of the checks are made."""

from collections.abc import Iterator

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor

pytest.register_assert_rewrite("tests.support.twins")

from tests.support.twins import DATABASE, HEALTHY, run  # noqa: E402 - after its asserts are rewritten


@pytest.fixture(scope="module")
def healthy(migrated: NoopExecutor) -> Iterator[psycopg.Connection]:
    """A superuser's connection to a migrated database that every test of a module leaves as it was."""
    host, port, user, password = migrated.host, migrated.port, migrated.user, migrated.password
    template = migrated.template_dbname
    with (
        DatabaseJanitor(host=host, port=port, user=user, password=password, dbname=DATABASE, template_dbname=template),
        psycopg.connect(host=host, port=port, user=user, password=password, dbname=DATABASE) as connection,
    ):
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
