"""A bounded LIFO connection pool.

asyncpg's own took a sixth of a request that reads one row: a task and two timers for each checkout, a proxy around each
call. A session needs less: it alone checks connections out, for one transaction each, and it knows what a pool cannot
know, whether the server has confirmed the end of that transaction.
"""

import asyncio
from functools import partial
from typing import Self

from asyncpg import Connection

from db.connect import connect
from db.turns import Turns

# Seconds.
ACQUIRE_TIMEOUT = 5.0  # until a caller gives up waiting for a connection to be released
CONNECT_TIMEOUT = 5.0  # until opening one is given up
CHECKOUT_TIMEOUT = 15.0  # until a checked out one is closed: longer than statement_timeout, for servers that hang
CHECK_INTERVAL = 0.5  # between two looks at these deadlines. A timer for each of them was a tenth of a request
CANCEL_TIMEOUT = 1.0  # for asyncpg to cancel on the server what nobody waits for any more, before its connection closes
IDLE_LIFETIME = 300.0  # until the network may have forgotten an idle connection


class Pool:
    """Checks connections out. It sends nothing of its own: no query that tests a connection or resets it."""

    def __init__(
        self, url: str, *, size: int, statement_cache_size: int = 100, checkout_timeout: float | None = None
    ) -> None:
        """Open at most `size` connections to `url`, the first one when it is asked for.

        `statement_cache_size` is 0 behind a PgBouncer older than 1.21 in transaction mode, which cannot hold prepared
        statements. `checkout_timeout` is in seconds, if not that of a request.
        """
        self.size = size
        self._checkout_timeout = checkout_timeout
        self._connect = partial(connect, url, application_name="partywall", statement_cache_size=statement_cache_size)
        self._loop = asyncio.get_running_loop()
        self._turns = Turns(size)
        self._generation = 0  # of the connections that are opened now: those of earlier ones have expired
        self._idle: list[tuple[Connection, float]] = []  # of this generation, and since when
        # By whom, of which generation, until when.
        self._checked_out: dict[Connection, tuple[str, int, float]] = {}
        self._closing: set[Connection] = set()

    async def __aenter__(self) -> Self:
        """Return itself."""
        self._check_deadlines()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections; those that are checked out, when they are released."""
        self._timer.cancel()
        self.expire()
        for connection in [*self._closing]:
            self._close(connection)

    async def acquire(self, user: str) -> Connection:
        """Check a connection out on behalf of a user, with no transaction open.

        Raises DatabaseUnavailableError, TooManyRequestsError.
        """
        await self._turns.take(user, seconds=ACQUIRE_TIMEOUT)
        try:
            generation = self._generation
            connection = self._last_used() or await self._connect(seconds=CONNECT_TIMEOUT)
        except BaseException:
            self._turns.give_back(user)
            raise
        self._checked_out[connection] = (
            user,
            generation,
            self._loop.time() + (self._checkout_timeout or CHECKOUT_TIMEOUT),
        )
        return connection

    def release(self, connection: Connection, *, clean: bool) -> None:
        """Take a connection back. Keep it if it is `clean`: its last response has come, and no transaction is open.

        The connection's own transaction status does not tell: it lags until a pending response is read.
        """
        user, generation, _ = self._checked_out.pop(connection)
        if not clean:
            self._closing.add(connection)
            self._loop.call_later(CANCEL_TIMEOUT, self._close, connection)
        elif generation < self._generation or connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
        else:
            self._idle.append((connection, self._loop.time()))
        self._turns.give_back(user)

    def expire(self) -> None:
        """Close all connections; those that are checked out or being opened, when they are released."""
        self._generation += 1
        while self._idle:
            self._idle.pop()[0].terminate()

    def _last_used(self) -> Connection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if not connection.is_closed() and self._loop.time() - since < IDLE_LIFETIME:
                return connection
            connection.terminate()
        return None

    def _check_deadlines(self) -> None:
        now = self._loop.time()
        self._turns.end_late_waits()
        for connection, (_, _, deadline) in [*self._checked_out.items()]:
            if deadline < now:
                connection.terminate()
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._check_deadlines)

    def _close(self, connection: Connection) -> None:
        self._closing.discard(connection)
        connection.terminate()
