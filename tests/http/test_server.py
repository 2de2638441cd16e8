"""What reaches the server before any route does: its size and its time are bounded, without a token."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp, Message

from api.http.codes import PROBLEMS
from api.http.server import Protocol, UseProtocol
from api.main import create_app
from api.settings import Settings
from tests.support.database import ROOT, Url
from tests.support.servers import AccessLog, serving, uvicorn_printing_to
from tests.support.tokens import JWT_SECRET, make_token

NO_DATABASE = "postgresql://app_api@127.0.0.1:1/nowhere"
LINE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
ANONYMOUS = b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
POST = ANONYMOUS + f"Authorization: Bearer {make_token('alice', lifetime=3600)}\r\n".encode()
PIECE = b"x" * 65_536


class Hasty(Protocol):
    """The server's protocol with limits that a test can wait for."""

    head_seconds = 0.2
    body_seconds = 0.4
    linger_seconds = 0.2
    unread_seconds = 0.5


@pytest.fixture
def settings() -> Settings:
    """Settings of an app that needs no database for what is tested here."""
    return Settings(_env_file=None, database_url=NO_DATABASE, jwt_secret=JWT_SECRET)


@pytest.fixture
def base_url(settings: Settings) -> Iterator[str]:
    with serving(settings) as address:
        yield address


@pytest.fixture
def hasty_url(settings: Settings) -> Iterator[str]:
    with serving(settings, http=Hasty) as address:
        yield address


@contextmanager
def connected(base_url: str) -> Iterator[socket.socket]:
    url = httpx2.URL(base_url)
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the connection. Raises TimeoutError if it does not."""
    received = b""
    while data := connection.recv(65_536):
        received += data
    return received


def send_all(connection: socket.socket, pieces: Iterator[bytes]) -> int:
    """Send until the server does not take any more; return how many bytes it took."""
    sent = 0
    with suppress(OSError):
        for piece in pieces:
            connection.sendall(piece)
            sent += len(piece)
    return sent


def assert_refused(received: bytes, status: int, detail: str) -> str:
    """See that this is one problem, after which the connection is closed; return its request id."""
    head, _, body = received.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
    problem = json.loads(body)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert problem.keys() == {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["type"] == f"/docs/errors#{problem['code']}"
    assert (problem["status"], problem["request_id"]) == (status, headers["x-request-id"])
    assert PROBLEMS[problem["code"]].status == status
    assert detail in problem["detail"]
    return headers["x-request-id"]


# ---- size --------------------------------------------------------------------------------------------


HEADS = {
    "a value": [LINE + b"a: ", *[PIECE] * 160],
    "a name": [LINE, *[PIECE] * 160],
    "a path": [b"GET /", *[PIECE] * 160],
    "a method": [b"G" * 65_536] * 160,
    "many headers": [LINE, *[b"a: b\r\n" * 10_000] * 160],
}


@pytest.mark.parametrize("pieces", HEADS.values(), ids=HEADS)
def test_a_head_without_end_is_not_read_to_its_end(base_url: str, pieces: list[bytes]) -> None:
    with connected(base_url) as connection:
        send_all(connection, iter(pieces))
        received = read_all(connection)

    assert_refused(received, 400 if pieces is HEADS["a method"] else 431, "")


@pytest.mark.parametrize("http", ["auto", "h11", "httptools"])
def test_a_head_of_100_mb_is_refused_however_uvicorn_is_started(tmp_path: Path, http: str) -> None:
    log = tmp_path / "log"
    with uvicorn_printing_to(log, NO_DATABASE, UVICORN_HTTP=http) as address, connected(address) as connection:
        sent = send_all(connection, iter([LINE + b"a: ", *[PIECE] * 1600]))
        assert sent < 100_000_000 or assert_refused(read_all(connection), 431, "16 KiB")
    assert '"status":431' in log.read_text()
    assert "not bounded" not in log.read_text()


def test_a_head_is_refused_from_one_byte_more_than_16_kib(base_url: str) -> None:
    for more, expected in ((0, b"HTTP/1.1 200 "), (1, b"HTTP/1.1 431 ")):
        with connected(base_url) as connection:
            rest = Protocol.max_head_bytes - len(LINE + b"a: \r\nConnection: close\r\n\r\n") + more
            connection.sendall(LINE + b"a: " + b"x" * rest + b"\r\nConnection: close\r\n\r\n")
            assert read_all(connection).startswith(expected), more


def test_a_request_is_refused_from_the_101st_header(base_url: str) -> None:
    for number, expected in ((Protocol.max_headers, b"HTTP/1.1 200 "), (Protocol.max_headers + 1, b"HTTP/1.1 431 ")):
        with connected(base_url) as connection:
            connection.sendall(LINE + b"Connection: close\r\n" + b"a: b\r\n" * (number - 2) + b"\r\n")
            assert read_all(connection).startswith(expected), number


def test_a_head_that_comes_with_the_body_before_it_counts_too(base_url: str) -> None:
    with connected(base_url) as connection:
        connection.sendall(LINE + b"Content-Length: 3\r\n\r\nabc" + LINE + b"a: ")
        send_all(connection, iter([PIECE] * 160))
        received = read_all(connection)

    # The first request may still be under way: then there is no place for a second response.
    assert received.startswith(b"HTTP/1.1 200 ") or received == b""


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("start", [CHUNKED + b"0\r\na: ", CHUNKED + b"1;a=", CHUNKED + b"1\r\na\r\n0\r\na"])
def test_what_surrounds_a_chunked_body_is_bounded_like_a_head(base_url: str, start: bytes) -> None:
    with connected(base_url) as connection:
        taken = send_all(connection, iter([start, *[PIECE] * 1600]))

    assert taken < 50_000_000


def test_a_body_that_goes_on_after_its_response_gets_no_second_one(base_url: str) -> None:
    """A client would take it for the response to its next request."""
    for rest in (b"1;a=" + PIECE, b"no chunk\r\n", b"1\r\na\r\n0\r\na" + PIECE):
        with connected(base_url) as connection:
            connection.sendall(ANONYMOUS + b"Transfer-Encoding: chunked\r\n\r\n")
            received = connection.recv(65_536)
            send_all(connection, iter([rest, PIECE]))
            with suppress(ConnectionError):
                received += read_all(connection)

        assert received.startswith(b"HTTP/1.1 401 ")
        assert received.count(b"HTTP/1.1 ") == 1


def test_a_trailer_is_no_header(base_url: str) -> None:
    with connected(base_url) as connection:
        connection.sendall(CHUNKED + b"2\r\n{}\r\n0\r\nX-Request-ID: from-a-trailer\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        received = read_all(connection)

    assert b"from-a-trailer" not in received


def test_requests_are_not_queued_without_end(base_url: str) -> None:
    with connected(base_url) as connection:
        send_all(connection, iter([(LINE + b"\r\n") * 5_000]))
        received = b""
        with suppress(ConnectionError):
            while data := connection.recv(65_536):
                received += data

    assert received.count(b"HTTP/1.1 200 ") < 5_000


# ---- time --------------------------------------------------------------------------------------------


def trickle(connection: socket.socket, start: bytes, drop: bytes = b"x") -> bytes:
    """Send a byte every 50 ms until the server has closed; return what it has sent."""
    connection.sendall(start)
    deadline = time.monotonic() + 20
    connection.settimeout(0.05)
    received = b""
    while time.monotonic() < deadline:
        try:
            if not (data := connection.recv(65_536)):
                return received
            received += data
        except TimeoutError:
            pass
        except ConnectionError:
            return received
        try:
            connection.sendall(drop)
        except OSError:
            continue
    raise TimeoutError(f"the connection is still open after {received!r}")


def test_a_head_that_never_ends_is_refused(hasty_url: str) -> None:
    for start in (b"GET /", LINE, LINE + b"a: "):
        with connected(hasty_url) as connection:
            assert_refused(trickle(connection, start), 408, "too long")


def test_a_connection_on_which_no_request_begins_is_closed(hasty_url: str) -> None:
    with connected(hasty_url) as connection:
        assert read_all(connection) == b""
    with connected(hasty_url) as connection:
        assert trickle(connection, b"", drop=b"\r\n") == b""


def test_a_connection_is_not_kept_alive_by_empty_lines(hasty_url: str) -> None:
    with connected(hasty_url) as connection:
        received = trickle(connection, LINE + b"\r\n", drop=b"\r\n")

    assert received.count(b"HTTP/1.1 ") == 1


def test_the_second_head_of_a_connection_has_no_more_time(hasty_url: str) -> None:
    with connected(hasty_url) as connection:
        received = trickle(connection, LINE + b"\r\n" + LINE)

    assert received.startswith(b"HTTP/1.1 200 ")
    assert_refused(received[received.rindex(b"HTTP/1.1 ") :], 408, "too long")


def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_internal_error(
    settings: Settings, url: Url, access_log: AccessLog, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(settings.model_copy(update={"database_url": SecretStr(url("app_api"))})) as address:
        with connected(address) as connection:
            connection.sendall(POST + b"Content-Length: 100\r\n\r\n{")
        httpx2.get(f"{address}/health/live")
    assert sorted((line["route"], line["status"]) for line in access_log()) == [("/health/live", 200), ("/tasks", 400)]
    assert "internal error" not in caplog.messages


def test_a_body_that_never_ends_is_refused(settings: Settings, url: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.middleware.BODY_SECONDS", 0.2)
    with serving(settings.model_copy(update={"database_url": SecretStr(url("app_api"))}), http=Hasty) as address:
        for start in (POST + b"Content-Length: 60000\r\n\r\n{", CHUNKED + b"9999\r\n"):
            with connected(address) as connection:
                assert_refused(trickle(connection, start), 408, "too long")


def test_a_body_that_nobody_reads_has_no_more_time(hasty_url: str) -> None:
    with connected(hasty_url) as connection:
        received = trickle(connection, LINE + b"Content-Length: 60000\r\n\r\n{")

    assert received.startswith(b"HTTP/1.1 200 ")


def test_a_response_that_nobody_reads_is_dropped(hasty_url: str) -> None:
    url = httpx2.URL(hasty_url)
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((url.host, url.port or 80))
        connection.sendall((b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n") * 5)
        # A byte to a connection that the server has dropped is met with a reset.
        deadline = time.monotonic() + 20
        with suppress(ConnectionError):
            while connection.send(b"x"):
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_300_slow_connections_are_gone_and_nobody_waited_for_them(hasty_url: str) -> None:
    with ExitStack() as stack, httpx2.Client(base_url=hasty_url) as client:
        slow = [stack.enter_context(connected(hasty_url)) for _ in range(300)]
        for connection in slow:
            with suppress(ConnectionError):  # on a busy machine its time is over already
                connection.sendall(LINE)
        assert client.get("/health/live").status_code == 200
        refusals = []
        for connection in slow:
            with suppress(ConnectionError):
                refusals.append(read_all(connection))
        assert any(refusals)  # the others were closed before their first byte had come
        for refusal in filter(None, refusals):
            assert_refused(refusal, 408, "too long")


def test_requests_that_take_their_time_within_the_limits_are_served(hasty_url: str) -> None:
    with connected(hasty_url) as connection:
        for number in count(1):
            for piece in (LINE[:10], LINE[10:], b"\r\n"):
                connection.sendall(piece)
                time.sleep(0.01)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
            if number == 20:
                return


# ---- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET /\xff HTTP/1.1\r\n\r\n", LINE + b"a b: c\r\n\r\n"]
)
def test_what_is_no_http_is_refused_like_everything_else(base_url: str, sent: bytes) -> None:
    with connected(base_url) as connection:
        connection.sendall(sent)
        received = read_all(connection)

    assert_refused(received, 400, "not valid HTTP")


@pytest.mark.parametrize("encoding", [b"gzip", b"chunked\r\n\r\nzz"])
def test_a_body_that_cannot_be_parsed_is_refused(encoding: bytes, base_url: str) -> None:
    with connected(base_url) as connection:
        connection.sendall(POST + b"Transfer-Encoding: " + encoding + b"\r\n\r\n")
        assert_refused(read_all(connection), 400, "not valid HTTP")


def test_a_refused_head_is_a_line_in_the_log_and_a_request_in_the_metrics(base_url: str, access_log: AccessLog) -> None:
    with connected(base_url) as connection:
        connection.sendall(LINE + b"a: b\r\n" * 200 + b"\r\n")
        request_id = assert_refused(read_all(connection), 431, "100 headers")

    [line] = [line for line in access_log() if line.get("logger") == "partywall.access"]
    assert (line["request_id"], line["method"], line["route"], line["status"]) == (request_id, None, None, 431)
    metrics = httpx2.get(f"{base_url}/metrics").text
    assert 'http_request_duration_seconds_count{method="other",route="none",status="431"}' in metrics


def test_a_refusal_reaches_whoever_is_still_sending(base_url: str) -> None:
    """A connection that is closed while data is on its way is reset, and the response to it is lost."""
    with connected(base_url) as connection:
        send_all(connection, iter([LINE + b"a: ", *[PIECE] * 32]))
        assert_refused(read_all(connection), 431, "16 KiB")


async def start(app: ASGIApp) -> None:
    """Start an app as a server does that is not uvicorn."""

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        raise StopAsyncIteration(message)

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)


def test_a_server_on_which_there_are_no_limits_is_warned_about(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with suppress(Exception):
        asyncio.run(start(UseProtocol(create_app(settings))))
    assert "heads and slow clients are not bounded" in caplog.text


def test_a_uvicorn_that_would_not_call_the_limits_is_refused() -> None:
    other = "from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as P; del P.send_400_response"
    done = subprocess.run(
        [sys.executable, "-c", f"{other}; import api.http.server"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "this version of uvicorn has no HttpToolsProtocol.send_400_response" in done.stderr


def test_the_time_for_a_body_does_not_end_the_app(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits for its shutdown by `receive`, too: for as long as it is served."""
    monkeypatch.setattr("api.http.middleware.BODY_SECONDS", 0.05)
    with serving(settings) as address:
        time.sleep(0.3)
        assert httpx2.get(f"{address}/health/live").status_code == 200
    assert "Traceback" not in caplog.text


def test_a_connection_that_is_idle_between_requests_is_kept_for_longer_than_a_head_may_take(hasty_url: str) -> None:
    """For as long as --timeout-keep-alive says: a balancer counts on that."""
    with connected(hasty_url) as connection:
        for _ in range(2):
            connection.sendall(LINE + b"\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
            time.sleep(2 * Hasty.head_seconds)
