"""The head of a response and its body are one write, and neither waits for what does not come at once."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api.http.server import Protocol
from tests.support.tls import certify
from tests.support.waiting import eventually

written: list[bytes] = []  # to the real transport, one entry for each call
transports: list[asyncio.Transport] = []
released = threading.Event()


class Recorder:
    """A transport, each write to which is noted."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        written.append(data)
        self._transport.write(data)


class Recorded(Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transports.append(transport)
        super().connection_made(Recorder(transport))  # type: ignore[arg-type]


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def wait(receive: Receive) -> None:
    del receive
    await asyncio.to_thread(released.wait, 20)


async def lose_the_client(receive: Receive) -> None:
    transports[-1].abort()
    assert (await receive())["type"] == "http.disconnect"


FIVE = (b"content-length", b"5")
RESPONSES: dict[str, list[Any]] = {
    "/sized": [start(200, FIVE), body(b"12345")],
    "/closed": [start(200, FIVE, (b"connection", b"close")), body(b"12345")],
    "/empty": [start(200), body(b"")],
    "/204": [start(204), body(b"")],
    "/304": [start(304), body(b"")],
    "/pieces": [start(200), body(b"0", more=True), body(b"1", more=True), body(b"2")],
    "/late": [start(200, FIVE), wait, body(b"12345")],
    "/left": [start(200, FIVE), lose_the_client, body(b"12345")],
    "/fails": [RuntimeError("before the head")],
    "/breaks": [start(200, FIVE), RuntimeError("after the head")],
    "/too-long": [start(200, FIVE), body(b"123456")],
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Do what stands under the path: send a message, raise, wait for something."""
    await receive()
    for step in RESPONSES[scope["path"]]:
        if isinstance(step, Exception):
            raise step
        await (send(step) if isinstance(step, dict) else step(receive))


@contextmanager
def serving(**options: Any) -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", http=Recorded, **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        released.set()
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def served(request: pytest.FixtureRequest) -> Iterator[int]:
    with serving(loop=request.param) as port:
        yield port


@pytest.fixture
def port(served: int) -> int:
    written.clear()
    released.clear()
    return served


def ask(*requests: str, last: str = "Connection: close\r\n") -> bytes:
    heads = [f"{request} HTTP/1.1\r\nHost: x\r\n" for request in requests]
    return "".join([*[f"{head}\r\n" for head in heads[:-1]], heads[-1], last, "\r\n"]).encode()


def read_all(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(65_536):
            received += data
    return received


def responses_to(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        return read_all(connection)


ONE_WRITE = {
    "GET /sized": b"12345",
    "HEAD /sized": b"",
    "GET /closed": b"12345",
    "GET /204": b"",
    "GET /304": b"",
    "GET /empty": b"0\r\n\r\n",
    "HEAD /empty": b"",
    "GET /fails": b"Internal Server Error",
}


@pytest.mark.parametrize("request_line", ONE_WRITE)
def test_a_response_is_one_write(port: int, request_line: str) -> None:
    received = responses_to(port, ask(request_line))

    assert written == [received]
    assert received.partition(b"\r\n\r\n")[2] == ONE_WRITE[request_line]


def test_each_of_several_responses_on_a_connection_is_one_write(port: int) -> None:
    received = responses_to(port, ask("GET /sized", "HEAD /sized", "GET /204", "GET /sized"))

    assert b"".join(written) == received
    assert [part.partition(b"\r\n\r\n")[2] for part in written] == [b"12345", b"", b"", b"12345"]


def test_the_first_piece_comes_with_the_head_and_the_others_as_they_are(port: int) -> None:
    received = responses_to(port, ask("GET /pieces"))

    assert b"".join(written) == received
    assert written[0].endswith(b"\r\n\r\n1\r\n0\r\n")
    assert written[1:] == [b"1\r\n1\r\n", b"1\r\n2\r\n0\r\n\r\n"]


def test_a_head_does_not_wait_for_its_body(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(ask("GET /late"))
        head = connection.recv(65_536)
        released.set()
        rest = read_all(connection)

    assert (head[-4:], rest) == (b"\r\n\r\n", b"12345")
    assert written == [head, rest]


def test_a_head_that_is_kept_is_sent_before_the_connection_is_closed(port: int) -> None:
    for path in ("/breaks", "/too-long"):
        written.clear()
        received = responses_to(port, ask(f"GET {path}"))

        assert received.startswith(b"HTTP/1.1 200 "), path
        assert received.endswith(b"\r\n\r\n"), path
        assert written == [received], path


def test_a_client_that_waits_for_100_gets_it_before_it_sends_the_body(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(ask("POST /sized", last="Expect: 100-continue\r\nContent-Length: 2\r\n"))
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert connection.recv(65_536).endswith(b"\r\n\r\n12345")


def test_a_refusal_is_sent_before_the_connection_is_closed_for_writing(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(ask("HEAD /sized", last=""))
        head = connection.recv(65_536)
        connection.sendall(b"GET /\xff HTTP/1.1\r\n\r\n")
        refusal = read_all(connection)

    assert refusal.startswith(b"HTTP/1.1 400 ")
    assert written == [head, refusal]


def test_a_client_that_leaves_between_head_and_body_is_no_error(port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert responses_to(port, ask("GET /left")) == b""
    assert responses_to(port, ask("GET /sized")).endswith(b"12345")  # by then the first one is over
    assert len(written) == 1
    assert caplog.records == []


def test_the_same_over_tls(tmp_path: Path) -> None:
    certify("127.0.0.1").write(tmp_path / "certificate", tmp_path / "key")
    unchecked = ssl._create_unverified_context()  # noqa: S323, SLF001
    written.clear()
    with (
        serving(ssl_certfile=str(tmp_path / "certificate"), ssl_keyfile=str(tmp_path / "key")) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        unchecked.wrap_socket(plain) as connection,
    ):
        connection.sendall(ask("GET /sized", "HEAD /sized", last=""))
        received = b""
        while received.count(b"HTTP/1.1 ") < 2 or not received.endswith(b"\r\n\r\n"):
            received += connection.recv(65_536)

    assert [part.partition(b"\r\n\r\n")[2] for part in written] == [b"12345", b""]
    assert b"".join(written) == received
