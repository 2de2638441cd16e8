"""The cluster, for tests that have no meaning on one node. Without one they are not run, and say so."""

import psycopg
import pytest

from tests.support import citus
from tests.support.citus import Cluster, Node


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where there is no cluster."""
    for item in items:
        if "tests/citus/" in item.nodeid:
            item.add_marker(citus.needs_cluster)


@pytest.fixture
def cluster(citus_nodes: list[Node], admin: psycopg.Connection) -> Cluster:
    """Return the cluster of this test's database."""
    admin.autocommit = True
    return Cluster(citus_nodes, admin.info.dbname)
