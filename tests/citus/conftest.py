"""The cluster, for tests that have no meaning on one node. Without one they are not run, and say so."""

from typing import Any

import psycopg
import pytest

from tests.support import citus
from tests.support.citus import Node, connected
from tests.support.database import url_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where there is no cluster."""
    for item in items:
        if "tests/citus/" in item.nodeid:
            item.add_marker(citus.needs_cluster)


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


@pytest.fixture
def cluster(citus_nodes: list[Node], admin: psycopg.Connection) -> Cluster:
    """Return the cluster of this test's database."""
    admin.autocommit = True
    return Cluster(citus_nodes, admin.info.dbname)
