"""asyncpg's connections, with a pipeline in between: how it gets there, and whether it works."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

from db.pipeline import Pipeline, query

# What asyncpg or uvloop (RuntimeError) raise on a connection that has ended.
BROKEN = (OSError, RuntimeError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError)


class Connection(asyncpg.Connection):
    """asyncpg's connection, with what is between it and the socket."""

    pipeline: Pipeline | None = None  # if transactions can be sent at once
    caches_statements = False  # else no statement can be sent together with its begin and commit
    is_direct = False  # it leads to one server, and not to a pooler
    replayed = 0  # up to where that server, a standby, is known to have replayed the write-ahead log

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

    def remember_replayed(self, lsn: int) -> None:
        """Remember what a transaction has found out."""
        if self.is_direct:
            self.replayed = max(self.replayed, lsn)


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
        return self.pipeline, self.pipeline.protocol

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
