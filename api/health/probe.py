"""Asking the database a question, apart from the requests."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from asyncpg import Connection

from db.connect import DatabaseUnavailableError, connect

RESPOND_WITHIN = 0.06  # seconds to wait for the database: a health check must not hang with it
QUESTION_TIMEOUT = 2.0  # seconds until a question that nobody waits for any more is dropped

Reply = TypeVar("Reply")


class Probe(Generic[Reply]):
    """Asks the database one question, on a connection of its own: an exhausted pool is not reported as an outage.

    It is asked once at a time: whoever asks meanwhile waits for the same reply.
    """

    def __init__(
        self,
        url: str,
        question: Callable[[Connection], Awaitable[Reply]],
        *,
        timeout: float = QUESTION_TIMEOUT,
        statement_cache_size: int = 0,  # PgBouncer before 1.21 is welcome
    ) -> None:
        """Connect to `url` when first asked. After `timeout` seconds, drop the question and the connection."""
        self._url = url
        self._question = question
        self._timeout = timeout
        self._statement_cache_size = statement_cache_size
        self._connection: Connection | None = None
        self._asking: asyncio.Task[Reply] | None = None

    async def ask(self, seconds: float = RESPOND_WITHIN) -> Reply:
        """Return the reply. Raises DatabaseUnavailableError when none comes within `seconds`."""
        asking = self._asking
        if asking is None or asking.done():
            asking = self._asking = asyncio.create_task(self._ask())
            # Nobody may be waiting for it when it fails.
            asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait([asking], timeout=seconds)
        if not asking.done():
            raise DatabaseUnavailableError("the database does not respond")
        return asking.result()

    async def aclose(self) -> None:
        """Drop the connection, whatever it is doing."""
        if self._asking:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        if self._connection:
            self._connection.terminate()

    async def _ask(self) -> Reply:
        try:
            async with asyncio.timeout(self._timeout):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect(
                        self._url,
                        application_name="partywall health",
                        statement_cache_size=self._statement_cache_size,
                    )
                return await self._question(self._connection)
        except Exception as error:  # asyncpg raises anything when it meets what is not PostgreSQL
            if self._connection:
                self._connection.terminate()
            raise DatabaseUnavailableError(str(error) or type(error).__name__) from error
