"""The end of a server: it comes in time, whatever its clients do, and with an exit code."""

import json
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import httpx2
import psycopg
import pytest
import uvicorn

from api.http.server import SHUTDOWN_SECONDS, UseProtocol
from api.main import create_app
from api.settings import Settings
from tests.support.database import ROOT, Url
from tests.support.servers import address_of, starting_uvicorn
from tests.support.tokens import JWT_SECRET, make_token
from tests.support.waiting import eventually, held, wait_for

NO_DATABASE = "postgresql://app_api@127.0.0.1:1/nowhere"
BODY_BY_HALVES = 'POST /tasks HTTP/1.1\r\n{0}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"text'
SLOW = "GET /tasks HTTP/1.1\r\n{0}\r\n"
IDLE = "GET /health/live HTTP/1.1\r\n{0}\r\n"
UNREAD_FILE = "GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\n{0}\r\n" * 5
UNREAD = "GET /openapi.json HTTP/1.1\r\n{0}\r\n" * 90


def send(address: str, request: str) -> socket.socket:
    """Send a request as Alice, on a connection of its own with little room for the response; return that."""
    url = httpx2.URL(address)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect((url.host, url.port or 80))
    connection.sendall(request.format(f"Host: x\r\nAuthorization: Bearer {make_token('alice')}\r\n").encode())
    return connection


def assert_told(connection: socket.socket) -> None:
    """See that the last thing on this connection is a 503 in the shape of all errors."""
    received = b""
    while data := connection.recv(65_536):
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"content-type: application/problem+json" in head
    assert b"retry-after: 1" in head
    assert b"connection: close" in head
    assert json.loads(body)["detail"] == "The server is shutting down. Try again in a moment."


@pytest.mark.parametrize("workers", [1, 2])
def test_the_end_waits_for_nobody_longer_than_its_time_and_who_is_late_gets_503(
    workers: int, url: Url, tmp_path: Path, admin: psycopg.Connection
) -> None:
    log = tmp_path / "log"
    options = ("--workers", str(workers), "--timeout-graceful-shutdown", "1")
    with starting_uvicorn(log, url("app_api"), *options) as process:
        address = address_of(process, log, workers)
        with (
            held(admin, "lock table app.tasks"),
            closing(send(address, IDLE)),
            closing(send(address, BODY_BY_HALVES)) as by_halves,
            closing(send(address, SLOW)) as slow,
            closing(send(address, UNREAD)),
            closing(send(address, UNREAD_FILE)),
        ):
            wait_for(admin, 1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == (0 if workers > 1 else -signal.SIGTERM)
            assert_told(by_halves)
            assert_told(slow)

    assert "Traceback" not in log.read_text()
    assert '"status":500' not in log.read_text()
    assert '"cause":"The server is shutting down' in log.read_text()


def test_what_ends_in_time_is_served(url: Url, tmp_path: Path, admin: psycopg.Connection) -> None:
    log = tmp_path / "log"
    with starting_uvicorn(log, url("app_api")) as process:
        address = address_of(process, log, 1)
        with held(admin, "lock table app.tasks"), closing(send(address, SLOW)) as slow:
            wait_for(admin, 1)
            process.send_signal(signal.SIGTERM)
            eventually(lambda: "Waiting for connections to close" in log.read_text())
            admin.commit()
            assert slow.recv(65_536).startswith(b"HTTP/1.1 200 ")
        process.wait(timeout=10)


def repeat(address: str, all_connected: threading.Barrier) -> None:
    """Send requests on one connection, each after the response to the one before, until the server says it closes."""
    with closing(send(address, IDLE)) as connection:
        assert b" 200 OK" in connection.recv(65_536)
        all_connected.wait()
        while True:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            response = connection.recv(65_536)
            assert b" 200 OK" in response
            if b"connection: close" in response:
                return


def test_no_request_is_lost_when_the_server_ends(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with starting_uvicorn(log, NO_DATABASE) as process, ThreadPoolExecutor(20) as clients:
        address = address_of(process, log, 1)
        all_connected = threading.Barrier(21)
        repeating = [clients.submit(repeat, address, all_connected) for _ in range(20)]
        all_connected.wait()
        process.send_signal(signal.SIGTERM)
        for each in repeating:
            each.result()
        process.wait(timeout=10)


def test_a_second_ctrl_c_waits_for_nobody_and_is_no_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with starting_uvicorn(log, NO_DATABASE) as process, closing(send(address_of(process, log, 1), UNREAD_FILE)):
        process.send_signal(signal.SIGINT)
        eventually(lambda: "Waiting for connections to close" in log.read_text())
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
    assert "Traceback" not in log.read_text()


def test_the_end_is_bounded_by_default() -> None:
    settings = Settings(_env_file=None, database_url=NO_DATABASE, jwt_secret=JWT_SECRET)
    config = uvicorn.Config(UseProtocol(create_app(settings)), port=0, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started)
    server.should_exit = True
    thread.join()

    assert config.timeout_graceful_shutdown == SHUTDOWN_SECONDS


def test_a_statement_ends_before_the_server_does_and_that_before_it_is_killed() -> None:
    [statement] = re.findall(r"statement_timeout = '(\d+)s'", (ROOT / "db/roles.sql").read_text())
    [image] = re.findall(r'"--timeout-graceful-shutdown", "(\d+)"', (ROOT / "Dockerfile").read_text())
    [grace] = re.findall(r"stop_grace_period: (\d+)s", (ROOT / "compose.yaml").read_text())

    assert int(statement) < SHUTDOWN_SECONDS == int(image) < int(grace)


# ---- workers and their parent ------------------------------------------------------------------------


def test_a_setting_that_is_wrong_ends_workers_and_their_parent(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with starting_uvicorn(log, NO_DATABASE, "--workers", "2", JWT_AUDIENCE="") as process:
        assert process.wait(timeout=20) != 0
    assert "Partywall does not start: JWT_AUDIENCE is set but empty" in log.read_text()


def test_a_start_that_fails_ends_workers_and_their_parent(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        with starting_uvicorn(log, NO_DATABASE, "--workers", "2", ADMIN_PORT=str(port)) as process:
            assert process.wait(timeout=20) != 0
    assert f"Partywall does not start: ADMIN_PORT {port} of 127.0.0.1: Address already in use" in log.read_text()


def test_workers_end_when_their_parent_was_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with starting_uvicorn(log, NO_DATABASE, "--workers", "2") as process:
        url = httpx2.URL(address_of(process, log, 2))
        process.kill()
        deadline = time.monotonic() + 10
        with suppress(ConnectionError):
            while time.monotonic() < deadline:
                socket.create_connection((url.host, url.port or 80)).close()
                time.sleep(0.05)
            raise AssertionError("a worker still has the port")
