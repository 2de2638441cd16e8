"""The tasks of a user, and those of a workspace: what is said about the ones is true of the others."""

from collections.abc import Iterator

import httpx2
import psycopg
import pytest

from tests.support.servers import caller
from tests.support.tasks import A_USERS
from tests.support.workspaces import InWorkspace, workspace


@pytest.fixture
def home(request: pytest.FixtureRequest) -> str:
    """Return whose tasks /tasks are, for Alice, Bob and Charlie each."""
    return str(getattr(request, "param", A_USERS))


def _client(home: str, base_url: str, admin: psycopg.Connection, user: str) -> httpx2.Client:
    if home == A_USERS:
        return caller(base_url, user)
    return InWorkspace(base_url, user, workspace(admin, user))


@pytest.fixture
def alice(home: str, base_url: str, admin: psycopg.Connection) -> Iterator[httpx2.Client]:
    """Return a client that calls as Alice."""
    with _client(home, base_url, admin, "alice") as client:
        yield client


@pytest.fixture
def bob(home: str, base_url: str, admin: psycopg.Connection) -> Iterator[httpx2.Client]:
    """Return a client that calls as Bob."""
    with _client(home, base_url, admin, "bob") as client:
        yield client


@pytest.fixture
def charlie(home: str, base_url: str, admin: psycopg.Connection) -> Iterator[httpx2.Client]:
    """Return a client that calls as Charlie."""
    with _client(home, base_url, admin, "charlie") as client:
        yield client
