"""Databases for the migrations to fill, copies of the tree with migrations of their own, a pool."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from db.embedded import ROLES
from db.pool import Pool
from tests.support.database import ROOT, Url, url_to
from tests.support.members import WORKSPACES


@pytest.fixture
def empty(admin: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Return a connection to a database with nothing in it but what db/roles.sql sets up."""
    admin.autocommit = True
    name = f"{admin.info.dbname}_empty"
    admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    where = make_conninfo(admin.info.dsn, dbname=name, password=admin.info.password)
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(ROLES.read_text())
        yield connection
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def migrator(empty: psycopg.Connection) -> str:
    """Return the URL by which a pipeline migrates the empty database."""
    return url_to(empty, "app_migrator")


@pytest.fixture
def workspaces(admin: psycopg.Connection) -> None:
    """Make the workspaces of tests.support.members."""
    admin.execute(WORKSPACES.encode(), prepare=False)
    admin.commit()


@pytest.fixture
def api(workspaces: None, url: Url) -> Iterator[psycopg.Connection]:
    """Return a connection of app_api's to the workspaces: whoever has it can run any SQL."""
    del workspaces
    with psycopg.connect(url("app_api"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def another(api: psycopg.Connection, url: Url) -> Iterator[psycopg.Connection]:
    """Return a second connection of the same kind."""
    del api
    with psycopg.connect(url("app_api"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of what `alembic` needs, in which a migration more does not matter."""
    for name in ("db", "migrations"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    return tmp_path


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop of tests that are coroutines."""
    return "asyncio"


@pytest.fixture
async def pool(url: Url) -> AsyncIterator[Pool]:
    """Return a small pool of the API's role."""
    async with Pool(url("app_api"), size=3) as pool:
        yield pool
