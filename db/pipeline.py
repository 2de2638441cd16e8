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
from typing import Any, Literal

import asyncpg

# Messages: a type, a length that includes itself, a body.
# https://www.postgresql.org/docs/18/protocol-message-formats.html
HEADER = struct.Struct(">cI")
STATEMENTS = b"BPQ"  # Bind, Parse, Query
BIND, PARSE, _ = STATEMENTS
SYNC = b"S\0\0\0\4"
ERROR, READY = TURNS = b"E", b"Z"
ASYNCHRONOUS = b"SNA"  # ParameterStatus, NoticeResponse, NotificationResponse: they can come at any time
COMMITTED = b"COMMIT\0"
ENDED_BY_SERVER = b"\0C57P0"  # in an error: the session was ended (administrator, crash, idle for too long)

Expected = Literal["begin", "statement", "commit"]


def _message(kind: bytes, body: str) -> bytes:
    content = body.encode() + b"\0"
    return HEADER.pack(kind, len(content) + 4) + content


def query(sql: str) -> bytes:
    """Return a Query message."""
    return _message(b"Q", sql)


COMMIT = query("commit")
# An ErrorResponse: in_failed_sql_transaction.
NOT_COMMITTED = _message(ERROR, "SERROR\0VERROR\0C25P02\0Mthe transaction was not committed\0")


class Pipeline(asyncio.Protocol):
    """Between asyncpg's protocol, for which it is the transport, and the transport, for which it is the protocol."""

    def __init__(self, protocol: Any) -> None:  # noqa: ANN401 - of asyncpg
        """Wrap asyncpg's protocol."""
        self.protocol = protocol
        self.transport: Any = None  # the real one
        self._is_parsing = False  # not before the first transaction: what a server says to SSLRequest is no message
        self._begin: bytes | None = None
        self._commits = False
        self._expected: Expected | None = None  # the response that is to come; without one, asyncpg gets everything
        self._incomplete = bytearray()  # the message that has come in part
        self._has_failed = False  # asyncpg has got an error, and gets nothing more until the end
        self.is_open = False  # `begin` was sent, and no `commit`
        self.is_sent = False
        self.has_begun = False  # the server has said so
        self.was_ended = False  # the server has said that it ends the session, in place of its response to `begin`

    # ---- for a session -------------------------------------------------------------------------------

    def start(self, begin: bytes, *, commits: bool) -> None:
        """Send the Query message `begin` before the next statement, and, if it `commits`, `commit` after it.

        `commit` is left out if asyncpg has to prepare the statement first. `stop` tells.
        """
        self._is_parsing = True
        self._begin, self._commits = begin, commits
        self.is_open = self.is_sent = self.has_begun = self.was_ended = False

    def commit_after_next(self) -> None:
        """Send `commit` with the next statement of the transaction that has begun, unless asyncpg prepares it first."""
        self._commits = True

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
    def was_not_executed(self) -> bool:
        """Whether the server has certainly executed nothing, whatever becomes of the connection."""
        return not self.is_sent or self.was_ended

    # ---- for asyncpg: a transport --------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> None:
        """Send what asyncpg has to say, with `begin` before the first statement of a transaction.

        Raises InFailedSQLTransactionError for another statement if `begin` has failed; asyncpg closes the connection.
        """
        if self._begin is None or self._expected or data[0] not in STATEMENTS:
            self.transport.write(data)
        elif not self.is_open:
            self._write_with_begin(self._begin, data)
        elif self.has_begun:
            self._write_within(data)
        else:
            raise asyncpg.InFailedSQLTransactionError("the transaction has not begun")

    def _write_within(self, data: bytes | memoryview) -> None:
        if not self._commits_with(data):
            self.transport.write(data)
            return
        self.transport.write(b"".join((data, COMMIT)))
        self.is_open = False
        self._expected, self._has_failed = "statement", False

    def _commits_with(self, data: bytes | memoryview) -> bool:
        if data[0] == PARSE:  # what asyncpg binds next may be a query of its own, for the types of the statement
            self._commits = False
        return self._commits and data[0] == BIND and data[-len(SYNC) :] == SYNC

    def _write_with_begin(self, begin: bytes, data: bytes | memoryview) -> None:
        commits = self._commits_with(data)
        self.transport.write(b"".join((begin, data, COMMIT) if commits else (begin, data)))
        self.is_open, self.is_sent, self.has_begun = not commits, True, False
        self._expected, self._has_failed = "begin", False

    def writelines(self, parts: list[bytes]) -> None:
        """Send several pieces."""
        self.write(b"".join(parts))

    def set_protocol(self, protocol: Any) -> None:  # noqa: ANN401 - of asyncpg
        """Let another protocol of asyncpg's have what comes: after the start of TLS."""
        self.protocol = protocol

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever asyncpg asks of a transport
        """Return what else the transport has."""
        return getattr(self.transport, name)

    # ---- for the transport: a protocol ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport
        self.protocol.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell asyncpg."""
        self.protocol.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Tell asyncpg."""
        closes: bool | None = self.protocol.eof_received()
        return closes

    def pause_writing(self) -> None:
        """Tell asyncpg."""
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        """Tell asyncpg."""
        self.protocol.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Give asyncpg the messages that are for it, and none in part: what comes next may not be for it."""
        if not self._is_parsing:
            self.protocol.data_received(data)
            return
        received = self._incomplete
        received += data
        size, at, start, passed = len(received), 0, 0, bytearray()  # from `start` on there is more to pass
        passes = self._passes
        while size >= at + HEADER.size:
            kind, length = HEADER.unpack_from(received, at)
            end = at + 1 + length
            if end > size:
                break
            if not ((passes and kind not in TURNS) or kind in ASYNCHRONOUS):
                passed += received[start:at]
                passed += self._receive(kind, received, at, end)
                start, passes = end, self._passes
            at = end
        passed += received[start:at]
        del received[:at]
        if passed:
            self.protocol.data_received(bytes(passed))

    @property
    def _passes(self) -> bool:
        """Whether what comes is for asyncpg."""
        return not self._expected or (self._expected == "statement" and not self._has_failed)

    def _receive(self, kind: bytes, received: bytearray, start: int, end: int) -> bytes | bytearray:
        """Return what asyncpg gets of a message: it, nothing, or an error instead."""
        expected = self._expected
        if not expected:
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
        return b""

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
