"""The door's connections: at most so many, and the one that came back last goes out first.

asyncpg's own pool does the same and more, and was a sixth of a request that reads one row: a task and two timers for
each connection that is lent, a proxy around each call. The door needs little of that, because it alone holds
connections, for one transaction each, and because it says whether one came back clean.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Self

from asyncpg import Connection

from db.connect import DatabaseUnavailableError, connect

PATIENCE = 5.0  # seconds to wait for a connection to come back, and for a new one to be opened
LENT_FOR = 15.0  # seconds: a hung server is not a hung client. The server's own limit, statement_timeout, is shorter
LOOK_EVERY = 0.5  # seconds between two looks for what takes longer than that
CANCEL_WITHIN = 1.0  # seconds in which a query that nobody waits for is cancelled
IDLE_LIFETIME = 300.0  # seconds after which the network may have forgotten an idle connection


class Pool:
    """Lends connections. It sends nothing of its own: no query that tests a connection or resets it."""

    def __init__(self, url: str, *, size: int, statement_cache_size: int = 100) -> None:
        """Open at most `size` connections to `url`, the first one when it is asked for.

        `statement_cache_size` is 0 behind a PgBouncer older than 1.21 in transaction mode, which cannot hold prepared
        statements.
        """
        self.size = size
        self._connect = partial(connect, url, application_name="partywall", statement_cache_size=statement_cache_size)
        self._loop = asyncio.get_running_loop()
        self._places = size  # how many more connections may be lent; nobody waits while there are any
        self._waiting: deque[tuple[asyncio.Future[None], float]] = deque()  # for a place, and since when
        self._idle: list[tuple[Connection, float]] = []  # and since when
        self._lent: dict[Connection, float] = {}  # and since when
        self._valid: set[Connection] = set()  # have not expired
        self._doubtful: set[Connection] = set()  # are closed in a moment

    async def __aenter__(self) -> Self:
        """Return itself."""
        self._look()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections; those that are lent, when they come back."""
        self._next_look.cancel()
        self.expire()
        for connection in [*self._doubtful]:
            self._close(connection)

    async def acquire(self) -> Connection:
        """Return a connection that nobody else has, with no transaction open. Raises DatabaseUnavailableError."""
        await self._take_place()
        try:
            connection = self._last_used() or await self._open()
        except BaseException:
            self._give_place()
            raise
        self._lent[connection] = self._loop.time()
        return connection

    def release(self, connection: Connection, *, clean: bool) -> None:
        """Take a connection back; close it unless it is `clean`: its last answer has come, and no transaction is open.

        What the connection says of itself does not count: while an answer is on its way, it says what was before.
        """
        del self._lent[connection]
        if not clean or connection.is_closed() or connection.is_in_transaction():
            self._valid.discard(connection)
            self._doubtful.add(connection)
            # Not at once: asyncpg is asking the server to cancel what still runs.
            self._loop.call_later(CANCEL_WITHIN, self._close, connection)
        elif connection in self._valid:
            self._idle.append((connection, self._loop.time()))
        else:
            self._close(connection)
        self._give_place()

    def expire(self) -> None:
        """Close all connections; those that are lent or being opened, when they come back."""
        self._valid = set()
        while self._idle:
            self._close(self._idle.pop()[0])

    async def _take_place(self) -> None:
        """Return when one more connection may be lent. Raises DatabaseUnavailableError."""
        if self._places:
            self._places -= 1
            return
        turn = self._loop.create_future()
        self._waiting.append((turn, self._loop.time()))
        try:
            await turn
        except asyncio.CancelledError:
            if not (turn.cancelled() or turn.exception()):  # it has come at the same moment
                self._give_place()
            raise

    def _give_place(self) -> None:
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._places += 1

    def _last_used(self) -> Connection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if not connection.is_closed() and self._loop.time() - since < IDLE_LIFETIME:
                return connection
            self._close(connection)
        return None

    async def _open(self) -> Connection:
        valid = self._valid  # those of before, if they expire while this one is being opened
        connection = await self._connect(seconds=PATIENCE)
        valid.add(connection)
        return connection

    def _look(self) -> None:
        """End what takes too long. One timer for everybody: a timer for each command is a tenth of a request."""
        now = self._loop.time()
        while self._waiting and now - self._waiting[0][1] > PATIENCE:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(DatabaseUnavailableError("all connections are in use"))
        for connection, since in [*self._lent.items()]:
            if now - since > LENT_FOR:
                connection.terminate()
        self._next_look = self._loop.call_later(LOOK_EVERY, self._look)

    def _close(self, connection: Connection) -> None:
        self._valid.discard(connection)
        self._doubtful.discard(connection)
        connection.terminate()
