"""What the benchmark calls a round trip: a wait of the client, whatever PostgreSQL sends meanwhile."""

import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from benchmarks.proxy import Proxy, proxy
from tests.support.database import PASSWORD

DELAY = 0.1  # seconds, longer than a client takes to send what it sends without waiting, on a busy machine, too


@pytest.fixture
def network(server: SimpleNamespace) -> Iterator[Proxy]:
    with proxy(Path(server.host), delay=DELAY) as network:
        yield network


@pytest.fixture
def connection(network: Proxy, admin: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A connection through the proxy, with nothing on the way."""
    url = network.url(f"app_api:{PASSWORD}", admin.info.dbname)
    with psycopg.connect(url, sslmode="disable", autocommit=True) as connection:
        connection.execute("select 1")
        network.round_trips = 0
        yield connection


def test_statements_that_wait_for_each_other_are_a_round_trip_each(
    network: Proxy, connection: psycopg.Connection
) -> None:
    for statement in ("begin", "select 1", "commit"):
        connection.execute(statement)

    assert network.round_trips == 3


def test_a_transaction_that_is_sent_at_once_is_one_round_trip(network: Proxy, connection: psycopg.Connection) -> None:
    with connection.pipeline():
        for statement in ("begin", "select 1", "commit"):
            connection.execute(statement)

    assert network.round_trips == 1


def test_a_failed_statement_counts_as_any_other(network: Proxy, connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("select 1 / 0")

    assert network.round_trips == 1


def test_a_response_in_many_pieces_is_one_round_trip(network: Proxy, connection: psycopg.Connection) -> None:
    rows = connection.execute("select repeat('x', 1000) from generate_series(1, 5000)").fetchall()

    assert len(rows) == 5000
    assert network.round_trips == 1


def test_a_request_in_many_pieces_is_one_round_trip(network: Proxy, admin: psycopg.Connection) -> None:
    """Also if it is three messages, to each of which PostgreSQL responds with ReadyForQuery."""
    with socket.create_connection(("127.0.0.1", network.port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        login = f"user\0postgres\0database\0{admin.info.dbname}\0\0".encode()
        client.sendall(struct.pack(">ii", len(login) + 8, 3 << 16) + login)
        _receive_until_ready(client)
        network.round_trips = 0
        for statement in (b"begin\0", b"select 1\0", b"commit\0"):
            for byte in b"Q" + struct.pack(">i", len(statement) + 4) + statement:
                client.send(bytes([byte]))
        for _ in range(3):
            _receive_until_ready(client)

    assert network.round_trips == 1


def test_each_connection_counts_by_itself(network: Proxy, admin: psycopg.Connection) -> None:
    url = network.url(f"app_api:{PASSWORD}", admin.info.dbname)
    connections = [psycopg.connect(url, sslmode="disable", autocommit=True) for _ in range(3)]
    network.round_trips = 0
    with ThreadPoolExecutor(3) as threads:
        [*threads.map(lambda connection: [connection.execute("select 1") for _ in range(4)], connections)]

    assert network.round_trips == 12
    for connection in connections:
        connection.close()


def test_a_network_that_hangs_passes_on_what_was_sent_once_it_goes_on(
    network: Proxy, connection: psycopg.Connection
) -> None:
    network.hangs = True
    network.wake()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(connection.execute, "select 1")
        with pytest.raises(TimeoutError):
            waiting.result(3 * DELAY)
        network.hangs = False
        network.wake()
        assert waiting.result().fetchone() == (1,)


def test_a_network_that_is_cut_breaks_all_connections_and_passes_on_new_ones(
    network: Proxy, connection: psycopg.Connection, admin: psycopg.Connection
) -> None:
    network.cut()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")

    url = network.url(f"app_api:{PASSWORD}", admin.info.dbname)
    with psycopg.connect(url, sslmode="disable") as another:
        assert another.execute("select 1").fetchone() == (1,)


def test_a_client_whose_postgresql_is_gone_is_told_so(tmp_path: Path) -> None:
    with proxy(tmp_path) as network, pytest.raises(psycopg.OperationalError):
        psycopg.connect(network.url("app_api", "nothing"), sslmode="disable", connect_timeout=5)


def _receive_until_ready(client: socket.socket) -> None:
    """Read messages up to a ReadyForQuery, and not a byte more."""
    kind = b""
    while kind != b"Z":
        kind = client.recv(1)
        length = int.from_bytes(client.recv(4, socket.MSG_WAITALL), "big")
        client.recv(length - 4, socket.MSG_WAITALL)
