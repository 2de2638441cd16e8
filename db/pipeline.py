"""A transaction of one statement in one round trip: `begin`, the statement and `commit` are sent in one write.

PostgreSQL answers messages in their order, so none of them has to wait for the response to the one before it
(https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-PIPELINING). asyncpg does not do so, but it takes
the event loop that opens its connections. Here that puts a `Pipeline` between asyncpg and the socket, which adds
`begin` and `commit` to what asyncpg sends, and keeps their responses to itself. For asyncpg it was one statement, whose
response ends with that of the commit.

It is safe because policies fail closed: PostgreSQL runs the statement even if `begin` has failed, but nobody is calling
then, and there are no rows. The first error is what the caller gets.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Literal

import asyncpg

# Messages: a type, a length that includes itself, a body.
# https://www.postgresql.org/docs/18/protocol-message-formats.html
HEADER = struct.Struct(">cI")
BIND, PARSE, QUERY = STATEMENTS = b"BPQ"
SYNC = b"S\0\0\0\4"
ERROR, READY, ROW = b"E", b"Z", b"D"
ASYNCHRONOUS = b"SNA"  # ParameterStatus, NoticeResponse, NotificationResponse: they can come at any time
COMMITTED = b"COMMIT\0"
ENDED_BY_SERVER = b"\0C57P0"  # in an error: the session was ended (administrator, crash, idle for too long)

# What asyncpg or uvloop (RuntimeError) raise on a connection that has ended.
BROKEN = (OSError, RuntimeError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError)

Expected = Literal["begin", "statement", "commit"]


class Connection(asyncpg.Connection):
    """asyncpg's connection, with what is between it and the socket."""

    pipeline: "Pipeline | None" = None  # if transactions can be sent at once
    caches_statements = False

    def is_idle(self) -> bool:
        """Return whether no transaction is open, and no response to come."""
        return not self.is_in_transaction() and (self.pipeline is None or self.pipeline.is_idle)

    def is_to_begin(self) -> bool:
        """Return whether a transaction begins with the next statement: the server has nothing to respond to yet."""
        return self.pipeline is not None and self.pipeline.is_used and not self.pipeline.is_sent

    def awaits_begin(self) -> bool:
        """Return whether it is unknown if the server responds: it has not begun the transaction that it was told to."""
        if self.pipeline is not None and self.pipeline.is_used:
            return self.pipeline.awaits_begin
        return not self.is_in_transaction()


def query(sql: str) -> bytes:
    """Return a Query message."""
    body = sql.encode() + b"\0"
    return b"Q" + struct.pack(">i", len(body) + 4) + body


COMMIT = query("commit")


def _error(message: str) -> bytes:
    """Return an ErrorResponse message: in_failed_sql_transaction."""
    body = f"SERROR\0VERROR\0C25P02\0M{message}\0\0".encode()
    return b"E" + struct.pack(">i", len(body) + 4) + body


NOT_COMMITTED = _error("the transaction was not committed")


def _end_of_rows(received: bytearray, at: int) -> int:
    """Return where the rows at `at` end. There may be thousands, and a call for each would cost more than asyncpg."""
    size, unpack = len(received), HEADER.unpack_from
    while at + HEADER.size <= size:
        kind, length = unpack(received, at)
        end = at + 1 + length
        if kind != ROW or end > size:
            break
        at = end
    return at


class Pipeline(asyncio.Protocol):
    """Between asyncpg's protocol, for which it is the transport, and the transport, for which it is the protocol."""

    def __init__(self, driver: Any) -> None:  # noqa: ANN401 - of asyncpg
        """Wrap asyncpg's protocol."""
        self.driver = driver
        self.transport: Any = None  # the real one
        self._is_parsing = False  # not before the first transaction: what a server says to SSLRequest is no message
        self._begin: bytes | None = None
        self._commits = False
        self._expected: Expected | None = None  # of which the response is still to come; else asyncpg gets everything
        self._incomplete = bytearray()
        self._has_failed = False  # what is expected: asyncpg has got an error
        self.is_open = False  # `begin` was sent, and no `commit`
        self.is_sent = False
        self.has_begun = False  # the server has said so
        self.was_ended = False  # the session, by the server, which has said so instead

    # ---- for a session -------------------------------------------------------------------------------

    def start(self, begin: bytes, *, commits: bool) -> None:
        """Send the Query message `begin` before the next statement, and `commit` after it if that can be.

        It can if the statement is prepared and nothing has to be sent before it. Otherwise `is_open` tells that the
        transaction is still to be ended.
        """
        self._is_parsing = True
        self._begin, self._commits = begin, commits
        self.is_open = self.is_sent = self.has_begun = self.was_ended = False

    def stop(self) -> bool:
        """Add nothing more to what asyncpg sends. Return whether the transaction is still to be ended."""
        self._begin = None
        return self.is_open

    @property
    def is_used(self) -> bool:
        """Whether `begin` is sent from here."""
        return self._begin is not None

    @property
    def awaits_begin(self) -> bool:
        """Whether `begin` was sent and has no response."""
        return self._expected == "begin"

    @property
    def is_idle(self) -> bool:
        """Whether no response is to come."""
        return not self._expected and not self._incomplete

    @property
    def did_nothing(self) -> bool:
        """Whether the server has done nothing, even if the connection is lost: it does not know, or it has said so."""
        return not self.is_sent or self.was_ended

    # ---- for asyncpg: a transport --------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> None:
        """Send what asyncpg has to say, if need be with `begin` before and `commit` after it.

        Raises InFailedSQLTransactionError, at which asyncpg closes the connection, if `begin` has failed before.
        """
        if self._begin is None or self.is_open or self._expected or data[0] not in STATEMENTS:
            if self._begin and self.is_open and not (self.has_begun or self.awaits_begin) and data[0] in STATEMENTS:
                raise asyncpg.InFailedSQLTransactionError("the transaction has not begun")
            self.transport.write(data)
            return
        commits = self._commits and data[0] == BIND and data[-len(SYNC) :] == SYNC
        self.transport.write(b"".join((self._begin, data, COMMIT)) if commits else self._begin + bytes(data))
        self.is_open, self.is_sent, self.has_begun = not commits, True, False
        self._expected, self._has_failed = "begin", False

    def writelines(self, parts: list[bytes]) -> None:
        """Send several pieces."""
        self.write(b"".join(parts))

    def set_protocol(self, driver: Any) -> None:  # noqa: ANN401 - of asyncpg
        """Let another protocol of asyncpg's have what comes: after the start of TLS."""
        self.driver = driver

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever asyncpg asks of a transport
        """Return what else the transport has."""
        return getattr(self.transport, name)

    # ---- for the transport: a protocol ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport
        self.driver.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell asyncpg."""
        self.driver.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Tell asyncpg."""
        closes: bool | None = self.driver.eof_received()
        return closes

    def pause_writing(self) -> None:
        """Tell asyncpg."""
        self.driver.pause_writing()

    def resume_writing(self) -> None:
        """Tell asyncpg."""
        self.driver.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Give asyncpg the messages that are for it, and none in part: what comes next may not be for it."""
        if not self._is_parsing:
            self.driver.data_received(data)
            return
        received = self._incomplete
        received += data
        passed, at = bytearray(), 0
        while len(received) >= at + HEADER.size:
            kind, length = HEADER.unpack_from(received, at)
            end = at + 1 + length
            if end > len(received):
                break
            if kind == ROW:
                end = _end_of_rows(received, end)
            passed += self._receive(kind, received, at, end)
            at = end
        del received[:at]
        if passed:
            self.driver.data_received(bytes(passed))

    def _receive(self, kind: bytes, received: bytearray, start: int, end: int) -> bytes | bytearray:
        """Return what asyncpg gets of a message: it, nothing, or an error instead."""
        expected = self._expected
        if not expected or kind in ASYNCHRONOUS:
            return received[start:end]
        if kind == READY:
            return received[start:end] if self._end() else b""
        if self._has_failed:
            return b""
        if kind == ERROR:
            self._has_failed = True
            self.was_ended = expected == "begin" and received.find(ENDED_BY_SERVER, start, end) >= 0
            return received[start:end]
        if expected == "commit" and not received.endswith(COMMITTED, start, end):
            self._has_failed = True
            return NOT_COMMITTED
        return received[start:end] if expected == "statement" else b""

    def _end(self) -> bool:
        """Expect the next response. Return whether there is none, and asyncpg gets the end of this one."""
        if self._expected == "begin":
            self.has_begun = not self._has_failed
            self._expected = "statement"
        elif self._expected == "statement" and not self.is_open:
            self._expected = "commit"
        else:
            self._expected = None
        return not self._expected


class Loop:
    """The running event loop for `asyncpg.connect`: whatever it connects has a pipeline in between."""

    def __init__(self) -> None:
        """Wrap the running loop."""
        self._loop = asyncio.get_running_loop()
        self.pipeline: Pipeline | None = None  # of the connection that was opened last

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever asyncpg asks of a loop
        """Return what else the loop has."""
        return getattr(self._loop, name)

    def __eq__(self, other: object) -> bool:
        """Return whether this wraps `other`: `asyncio.current_task` finds the task of a loop by equality."""
        return other is self._loop

    def __hash__(self) -> int:
        """Return that of the loop."""
        return hash(self._loop)

    async def create_connection(self, protocol: Callable[[], Any], *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Connect to a host."""
        return self._opened(await self._loop.create_connection(lambda: Pipeline(protocol()), *arguments, **options))

    async def create_unix_connection(self, protocol: Callable[[], Any], path: str) -> Any:  # noqa: ANN401
        """Connect to a socket."""
        return self._opened(await self._loop.create_unix_connection(lambda: Pipeline(protocol()), path))

    def _opened(self, connection: tuple[object, Pipeline]) -> tuple[Pipeline, Any]:
        """Return what asyncpg takes for the transport, and its own protocol."""
        _, self.pipeline = connection
        return self.pipeline, self.pipeline.driver

    async def start_tls(self, pipeline: Pipeline, _protocol: object, *arguments: Any, **options: Any) -> Pipeline:  # noqa: ANN401
        """Encrypt what is sent from now on."""
        pipeline.transport = await self._loop.start_tls(pipeline.transport, pipeline, *arguments, **options)
        return pipeline


async def works(connection: Connection) -> bool:
    """Return whether what is sent together runs together; else the connection may be of no more use.

    That depends on how asyncpg sends a statement, and on what is between here and PostgreSQL.
    """
    pipeline = connection.pipeline
    if pipeline is None:
        return False
    try:
        for _ in range(2):  # when it is prepared, and when it is
            pipeline.start(query("begin isolation level repeatable read, read only"), commits=True)
            isolation = await connection.fetchval("select pg_catalog.current_setting('transaction_isolation')")
            if was_open := pipeline.stop():
                await connection.execute("rollback")
            if isolation != "repeatable read" or connection.is_in_transaction():
                return False
    except BROKEN:
        return False
    return not (was_open and connection.caches_statements)
