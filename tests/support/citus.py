"""A database of a test on the Citus cluster of TEST_CITUS_URL: on every node the copy of a template."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from db.embedded import ROLES
from db.libpq.url import plain_url
from tests.support.database import PASSWORD, alembic, url_of

CITUS_SQL = ROLES.with_name("citus.sql")
TEMPLATE = "partywall_test_citus"
DATABASE = "partywall_test"
SHARDS = 4  # of a table: each is files to copy, for each test

Node = dict[str, Any]
"""Where a node is and who its superuser is, in libpq's words."""


def coordinator() -> Node:
    """Return the coordinator that TEST_CITUS_URL leads to: as a superuser, to a database whose nodes it knows."""
    with psycopg.connect(plain_url(os.environ["TEST_CITUS_URL"]), connect_timeout=10) as connection:
        info = connection.info
        return {name: getattr(info, name) for name in ("host", "port", "user", "password", "dbname")}


def nodes() -> list[Node]:
    """Return the coordinator and its workers."""
    first = coordinator()
    with psycopg.connect(**first) as connection:
        workers = connection.execute("select nodename, nodeport from pg_dist_node where groupid <> 0 order by nodeid")
        return [first, *({**first, "host": host, "port": port} for host, port in workers)]


@contextmanager
def connected(node: Node, dbname: str = "postgres", **options: Any) -> Iterator[psycopg.Connection]:
    """Connect to a database of a node as its superuser."""
    with psycopg.connect(**node | {"dbname": dbname}, autocommit=True, **options) as connection:
        yield connection


def run_on(cluster: Sequence[Node], statement: str, *names: str, dbname: str = "postgres") -> None:
    """Run a statement on each node."""
    for node in cluster:
        with connected(node, dbname) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def register(cluster: Sequence[Node], connection: psycopg.Connection) -> None:
    """Make the database of `connection`, on the coordinator, one of all these nodes."""
    first, *workers = cluster
    connection.execute("select citus_set_coordinator_host(%s, %s)", [first["host"], first["port"]])
    for each in workers:
        connection.execute("select citus_add_node(%s, %s)", [each["host"], each["port"]])


def set_up(cluster: Sequence[Node], dbname: str) -> None:
    """Make a database as docs/scaling.md says it."""
    run_on(cluster, "create database {}", dbname)
    run_on(cluster, "create extension citus", dbname=dbname)
    with connected(cluster[0], dbname) as admin:
        register(cluster, admin)
        for file in (ROLES, CITUS_SQL):
            admin.execute(file.read_bytes())
        for role in ("app_api", "app_auditor", "app_migrator"):
            admin.execute(f"alter role {role} password '{PASSWORD}'".encode())
    alembic(url_of("app_migrator", {**cluster[0], "dbname": dbname}), "upgrade", "head")
    with connected(cluster[0], dbname) as admin:
        admin.execute(f"set citus.shard_count = {SHARDS}".encode())
        admin.execute(CITUS_SQL.read_bytes())


class Cluster:
    """The nodes, with the test's database on each."""

    def __init__(self, nodes: list[Node], database: str) -> None:
        """Know the nodes: the coordinator first."""
        self.nodes = nodes
        self.database = database

    def url(self, role: str, node: int = 0) -> str:
        """Return the URL by which a role reaches a node: the coordinator, or a worker from 1 on."""
        return url_of(role, {**self.nodes[node], "dbname": self.database})

    def on_each(self, query: str, **options: Any) -> list[list[tuple[Any, ...]]]:
        """Return the rows of a superuser's query on each node."""
        found = []
        for node in self.nodes:
            with connected(node, self.database, **options) as connection:
                found.append(connection.execute(query.encode()).fetchall())
        return found


@pytest.fixture(scope="session")
def citus_nodes() -> list[Node]:
    """The nodes of TEST_CITUS_URL, the coordinator first, with the template on each."""
    cluster = nodes()
    run_on(cluster, "drop database if exists {} with (force)", TEMPLATE)
    set_up(cluster, TEMPLATE)
    for node in cluster:  # the daemon of Citus is in it, and comes back only when somebody connects
        with connected(node) as connection:
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [TEMPLATE])
    return cluster


@pytest.fixture
def admin(citus_nodes: list[Node]) -> Iterator[psycopg.Connection]:
    """Return a connection of the superuser to the test's database, on the coordinator."""
    run_on(citus_nodes, "drop database if exists {} with (force)", DATABASE)
    run_on(citus_nodes, "create database {} template {}", DATABASE, TEMPLATE)
    with psycopg.connect(**citus_nodes[0] | {"dbname": DATABASE}) as connection:
        yield connection
        connection.rollback()
    run_on(citus_nodes, "drop database if exists {} with (force)", DATABASE)


GIVEN = "TEST_CITUS_URL" in os.environ
REASON = (
    "NOT RUN: what a Citus cluster must hold. Set TEST_CITUS_URL to a superuser's URL of a coordinator whose nodes are"
    " registered in that database"
)
needs_cluster = pytest.mark.skipif(not GIVEN, reason=REASON)
