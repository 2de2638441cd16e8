"""Bounds on what a client sends before any route is asked, whichever way `uvicorn api.main:app` was started.

Uvicorn's own protocol collects a head without end and waits for it without end: a value of 100 MB stopped everybody for
seconds, because it is copied with each piece that comes. Here each read is counted, and a timer runs while a message is
incomplete; a request that comes in one piece costs neither. pyproject.toml bounds uvicorn to the minor version whose
`HttpToolsProtocol` this was written for.
"""

import asyncio
import json
import logging
import socket
from typing import Any, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.http.parser import Parser
from api.http.problems import PROBLEM, problem_content
from api.http.responses import PRIVATE, root_path
from api.http.transport import HeadWithBody
from api.http.workers import end_parent, end_with_parent
from api.observability.requests import NOSNIFF, new_request_id, record

log = logging.getLogger("partywall")

Part = Literal["head", "body"] | None

SHUTDOWN_SECONDS = 20  # for the requests under way at a SIGTERM: longer than a statement may take

OVERRIDDEN = (
    *("connection_made", "connection_lost", "data_received", "on_message_begin", "on_header", "on_headers_complete"),
    *("on_body", "on_message_complete", "send_400_response", "shutdown"),
)
if missing := [name for name in OVERRIDDEN if not hasattr(HttpToolsProtocol, name)]:
    raise ImportError(f"this version of uvicorn has no HttpToolsProtocol.{missing[0]}: heads would not be bounded")


class UseProtocol:
    """Has uvicorn serve an app by `Protocol`, and end in time.

    Around FastAPI, which wraps `receive`: it needs uvicorn's own.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or the start: no connection is accepted before the start is over."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:  # the time for the shutdown is over, and the client does not take its response
            cycle = getattr(receive, "__self__", None)
            if not isinstance(cycle, RequestResponseCycle):
                raise
            cycle.disconnected = True  # or uvicorn would write a 500, and wait for the client for ever

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        config = getattr(getattr(receive, "__self__", None), "config", None)
        if isinstance(config, Config):
            _configure(config)
        else:
            log.warning("heads and slow clients are not bounded: not uvicorn serves the app, or something wraps it")
        end_with_parent()

        async def send_and_tell_parent(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.failed":
                end_parent()

        await self._app(scope, receive, send_and_tell_parent)


def _configure(config: Config) -> None:
    if not issubclass(config.http_protocol_class, Protocol):
        config.http_protocol_class = Protocol
    if config.timeout_graceful_shutdown is None:
        config.timeout_graceful_shutdown = SHUTDOWN_SECONDS


class Protocol(HttpToolsProtocol):
    """Uvicorn's protocol, with limits. What is beyond them is refused, and the connection closed."""

    max_head_bytes = 16 * 1024  # request line and headers; also what surrounds the chunks of a body
    max_headers = 100
    max_pipelined = 100  # requests that wait for the response to the one before them
    head_seconds = 10.0  # for the head, from its first byte; for that byte, from the start of the connection
    body_seconds = 35.0  # for the body, if nobody reads it: LimitBody has refused it before otherwise
    unread_seconds = 30.0  # for the client to take some of a response
    drain_seconds = 0.5  # at the end of the server, for requests that were sent before their clients could see it
    linger_seconds = 2.0  # to read on after a refusal, without which the client would not see it

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        """Take what uvicorn gives to a protocol."""
        super().__init__(*args, **kwargs)
        self.parser: Parser = Parser(self)
        self.ws_protocol_class = None  # no route is a WebSocket
        self._part: Part = None  # of a message that is incomplete: what is still to come
        self._unparsed = 0  # bytes received since the last message, or piece of a body, was complete
        self._refused = False
        self._is_ending = False
        self._refusal = (400, "The request is not valid HTTP.")
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's, too
        """Wait for the first request; have the kernel drop a client that takes nothing of a response."""
        super().connection_made(HeadWithBody(transport, self.loop))  # type: ignore[arg-type]  # it has all that uvicorn calls
        connection = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT") and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.unread_seconds * 1000))
        self._wait(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._enter(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, but nothing after a refusal."""
        if not self._refused:
            self._unparsed += len(data)
            super().data_received(data)
            self._bound()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._enter("head")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, without the white space behind it: httptools leaves it, but it is no part (RFC 9112, 5)."""
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, and begin a body. Raises ValueError for what is refused."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self.parser.head_again = self._head_without_upgrade()
            return
        if len(self.headers) > self.max_headers:
            self._refusal = 431, f"There are more than {self.max_headers} headers."
        elif self._unparsed > self.max_head_bytes and self._head_bytes() > self.max_head_bytes:
            self._refusal = 431, self._too_large
        elif len(self.pipeline) < self.max_pipelined:
            super().on_headers_complete()
            self.headers = []  # the request keeps its own: a trailer is none of them
            if self._is_ending:
                self.cycle.keep_alive = False
            self._enter("body")
            return
        raise ValueError  # by which httptools stops; then uvicorn calls send_400_response

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        super().on_body(body)
        self._unparsed = 0

    def on_message_complete(self) -> None:
        """End a message."""
        if self.parser.head_again:  # it has not begun
            return
        super().on_message_complete()
        self._enter(None)

    def shutdown(self) -> None:
        """Respond to what is sent for a moment more, with `Connection: close`, before an idle connection is closed.

        Uvicorn closes it at once: a request that was sent by then would have no response.
        """
        self._is_ending = True
        if self._is_responding():
            super().shutdown()
        else:
            self.loop.call_later(self.drain_seconds, super().shutdown)

    def send_400_response(self, msg: str) -> None:
        """Refuse what could not be parsed."""
        del msg
        self._refuse(*self._refusal)

    def _bound(self) -> None:
        """See that something ends what has not come to its end: the response, a timer, a number of bytes."""
        if self._part is None:
            self._unparsed = 0
            if self._timer is None and not self._is_responding():
                self._wait(self.head_seconds)
        elif self._unparsed > self.max_head_bytes:
            self._refuse(431, self._too_large)
        elif self._timer is None:
            self._wait(self.head_seconds if self._part == "head" else self.body_seconds)

    def _is_responding(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def _too_large(self) -> str:
        return f"The request line and the headers are larger than {self.max_head_bytes // 1024} KiB."

    def _head_bytes(self) -> int:
        line = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n\r\n")
        return line + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)
        return b"".join([line, *(b"%b: %b\r\n" % each for each in self.headers if each[0] != b"upgrade"), b"\r\n"])

    def _enter(self, part: Part) -> None:
        self._part = part
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        if self._part == "head" and not self.transport.is_closing():
            self._refuse(408, "The request line and the headers took too long.")
        else:
            self.transport.close()  # of what was written, the rest is still sent

    def _refuse(self, status: int, detail: str) -> None:
        # A second response would be taken for the one to the next request.
        has_response = self._part == "body" or self._is_responding()
        if has_response and status == 400:  # noqa: PLR2004 - after a body without end nothing more is read
            has_response = not self._take_response()
        self._enter(None)
        self._refused = True
        request_id = new_request_id()
        record(request_id, None, None, status, 0)
        if has_response:
            self.transport.close()
            return
        self.transport.write(self._problem(status, detail, request_id))
        if self.transport.can_write_eof():  # not with TLS
            self.transport.write_eof()
        self._wait(self.linger_seconds)

    def _take_response(self) -> bool:
        """Keep the app from responding to a body that cannot be parsed; return whether that was in time."""
        cycle: RequestResponseCycle = self.cycle
        waits_for_body = cycle.scope["method"] in {"POST", "PUT", "PATCH"}  # others may have done what they do
        if self._part != "body" or self.pipeline or cycle.response_started or not waits_for_body:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        return True

    def _problem(self, status: int, detail: str, request_id: str) -> bytes:
        root = root_path({"root_path": self.root_path})
        body = json.dumps(problem_content(status, detail, request_id, root=root)).encode()
        headers = [
            *self.server_state.default_headers,
            *PRIVATE,
            NOSNIFF,
            (b"content-type", PROBLEM.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
        ]
        return b"".join([STATUS_LINE[status], *(b"%b: %b\r\n" % header for header in headers), b"\r\n", body])
