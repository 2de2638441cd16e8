"""Asking the database a question again and again, apart from the requests."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self

from db.connect import DatabaseUnavailableError
from db.connection import Connection
from db.pool import Pool
from db.turns import TooManyRequestsError

Connect = Callable[[], Awaitable[Connection]]

NOBODY = ""  # no id of a user, so none waits because of it
RETRY_INTERVAL = 0.5  # seconds until a question that was not answered is asked again
STOPPED_AFTER = 30.0  # seconds by which an attempt is only late in a process that was stopped, as a platform may do


class Watch:
    """Asks the database one question again and again, on a connection of its own, so that a busy pool is no outage.

    Where PostgreSQL has no place for that connection, one of the pool's is used. While nobody calls it can pause,
    without a connection, so that a service can suspend the database.
    """

    def __init__(
        self,
        connect: Connect,
        pool: Pool,
        question: Callable[[Connection], Awaitable[None]],
        *,
        interval: Callable[[], float],
        timeout: float,
        on_failure: Callable[[DatabaseUnavailableError], None] = lambda _: None,
        pause_after: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Ask every `interval()` seconds. A question that takes longer than `timeout` seconds ends its connection.

        Pause when there was no `call` for `pause_after()` seconds, if the last question was answered.
        """
        self._pool = pool
        self._question = question
        self._interval = interval
        self._timeout = timeout
        self._on_failure = on_failure
        self._pause_after = pause_after
        self._loop = asyncio.get_running_loop()
        self._called_at = self._loop.time()
        self._tried_at = self._called_at
        self.asking_since = self._called_at  # without a pause
        self.is_paused = False
        self.is_stale = False  # nothing was answered since the last pause
        self._connect = connect
        self._connection: Connection | None = None
        self._wake = asyncio.Event()
        self._asked = asyncio.Event()  # of the question that is under way, or comes next

    async def __aenter__(self) -> Self:
        """Ask from now on."""
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ask no more, and drop the connection, whatever it is doing."""
        self._watching.cancel()
        await asyncio.wait([self._watching])
        self.reconnect()

    async def ask_now(self, seconds: float) -> None:
        """Do not wait for the interval. Return when the question was answered or has failed, or after `seconds`."""
        self.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()

    def call(self) -> None:
        """Go on asking, or ask again now if it pauses, or the whole process did: somebody needs the database."""
        now = self._called_at = self._loop.time()
        if self.is_paused or now - self._tried_at > self._interval() + STOPPED_AFTER:
            self.is_paused, self.is_stale = False, True
            self._tried_at = self.asking_since = now
            self.wake()

    async def catch_up(self, seconds: float) -> None:
        """Return when a question was answered after a pause, or `seconds` after its end: then it still `is_stale`."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self.asking_since + seconds):
                while self.is_stale:
                    await self._asked.wait()

    def wake(self) -> None:
        """Do not wait for the interval."""
        self._wake.set()

    def reconnect(self) -> None:
        """Ask on a new connection from now on: settings of roles and databases apply to new sessions only."""
        if self._connection:
            self._connection.terminate()

    async def _watch(self) -> None:
        while True:
            answered = await self._try_to_ask()
            self._tried_at = self._loop.time()
            self._asked.set()
            self._asked = asyncio.Event()
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval() if answered else RETRY_INTERVAL):
                    await self._wake.wait()
            if answered and self._loop.time() - self._called_at >= self._pause_after():
                await self._pause()

    async def _try_to_ask(self) -> bool:
        try:
            await self._ask()
        except DatabaseUnavailableError as error:
            self._on_failure(error)
            return False
        self.is_stale = False
        return True

    async def _pause(self) -> None:
        """Wait for a call, without any connection."""
        self.is_paused = self.is_stale = True
        self.reconnect()
        self._pool.expire()
        self._wake.clear()
        await self._wake.wait()

    async def _ask(self) -> None:
        reused = self._connection is not None and not self._connection.is_closed()
        try:
            await self._ask_once()
        except DatabaseUnavailableError as error:
            if not reused or isinstance(error.__cause__, TimeoutError):
                raise
            await self._ask_once()  # only that connection may have ended

    async def _ask_once(self) -> None:
        async with self._connected() as connection:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._question(connection)
            except BaseException as error:
                connection.terminate()
                if not isinstance(error, Exception):
                    raise
                # asyncpg raises anything when it meets what is not PostgreSQL.
                raise DatabaseUnavailableError(str(error) or type(error).__name__) from error

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
            connection = self._connection
        except DatabaseUnavailableError as refused:
            connection = await self._of_pool(refused)
        try:
            yield connection
        finally:
            if connection is not self._connection:
                self._pool.release(connection, clean=not connection.is_closed())

    async def _of_pool(self, refused: DatabaseUnavailableError) -> Connection:
        with suppress(DatabaseUnavailableError, TooManyRequestsError):
            if self._pool.responded_at is not None:  # it may have connections
                return await self._pool.acquire(NOBODY)
        raise refused
