"""The one door to tenant rows.

A `Session` is bound to one user. Each call is one transaction in three round trips:

    begin read only; set local app.user_id = E'…'     one simple-protocol message
    the query                                         its plan is cached on the connection
    commit                                            back before the caller gets the result

The context lives in the transaction and dies with it. Nothing is ever set on the session, so a pooled
connection has nothing to forget: the pool sends no reset query, and PgBouncer in transaction mode is safe.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, TypeAlias, TypeGuard

import asyncpg

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# 1 to 255 characters, no control characters, nothing that UTF-8 cannot carry (a lone surrogate).
# The database has the same rule: constraint tasks_user_id_valid.
_USER_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")

# The whole transaction may run again: nothing was committed. A stale plan is what a cached statement
# meets after a migration (asyncpg itself retries only outside of a transaction).
RETRYABLE = (
    asyncpg.InvalidCachedStatementError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
)

# Nothing is wrong with the request: the database is away, starting, stopping or full.
_UNAVAILABLE = (
    OSError,  # TimeoutError too
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)

# The answers' timestamps are rendered by the server, in UTC. PgBouncer knows both parameters.
SERVER_SETTINGS = {"application_name": "partywall", "timezone": "UTC"}


class DatabaseUnavailableError(Exception):
    """The database cannot be used right now. Its cause says why."""


def is_user_id(value: object) -> TypeGuard[str]:
    """Return whether `value` can name a user: a string of 1 to 255 characters without control characters."""
    return isinstance(value, str) and _USER_ID.fullmatch(value) is not None


def begin_statement(user_id: str, *, read_only: bool) -> str:
    """Return the SQL that opens a transaction in which `app.user_id` is `user_id`.

    `set local` takes no parameters, so the id is an escaped literal: in E'' a quote is doubled and a backslash
    is doubled, whatever standard_conforming_strings says
    (https://www.postgresql.org/docs/18/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE).
    `set_config()` would take a parameter, but only the statement reaches the workers of a Citus cluster.

    Raises ValueError for what is not a user id.
    """
    if not is_user_id(user_id):
        raise ValueError(f"not a user id: {user_id!r}")
    literal = user_id.replace("\\", "\\\\").replace("'", "''")
    mode = "read only" if read_only else "read write"
    return f"begin {mode}; set local app.user_id = E'{literal}'"


async def _nothing_to_reset(_connection: object) -> None:
    """Stand in for the pool's reset query, one round trip per request: see the module's docstring."""


def create_pool(url: str, *, size: int, statement_cache_size: int = 100) -> Pool:
    """Return a pool of at most `size` connections to `url`. It connects when first used.

    `statement_cache_size` is 0 behind a PgBouncer older than 1.21 in transaction mode, which cannot hold
    prepared statements.
    """
    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        statement_cache_size=statement_cache_size,
        reset=_nothing_to_reset,
        # A hung server is not a hung client. The server's own limit, statement_timeout, is shorter.
        command_timeout=15,
        server_settings=SERVER_SETTINGS,
    )


class Transaction:
    """A connection inside a user's transaction: committed at the end of the block, rolled back on any exception.

    A class, because a generator of `asynccontextmanager` is 5 % of a request.
    """

    __slots__ = ("_begin", "_connection", "_pool")

    def __init__(self, pool: Pool, begin: str) -> None:
        """Take a connection of `pool` when it is entered, and run `begin`."""
        self._pool = pool
        self._begin = begin

    async def __aenter__(self) -> Connection:
        """Return the connection. Raises DatabaseUnavailableError."""
        self._connection = await self._acquire()
        await self._execute(self._begin)
        return self._connection

    async def __aexit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        """Commit or roll back."""
        if error is None:
            await self._execute("commit")
        await self._leave(error)

    async def _acquire(self) -> Connection:
        """Return a connection. Whatever the server says to a login that it turns away, it is not available."""
        try:
            return await self._pool.acquire(timeout=5)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise DatabaseUnavailableError from error

    async def _execute(self, statement: str) -> None:
        try:
            await self._connection.execute(statement)
        except BaseException as error:
            await self._leave(error)
            raise

    async def _leave(self, error: BaseException | None) -> None:
        """Give the connection back, with nothing open. Raises DatabaseUnavailableError if `error` means that."""
        try:
            # A connection that broke is the pool's again already: nothing left to roll back.
            with suppress(asyncpg.InterfaceError, *_UNAVAILABLE):
                if self._connection.is_in_transaction():
                    await self._connection.execute("rollback")
        finally:
            await self._pool.release(self._connection)
        if isinstance(error, _UNAVAILABLE):
            raise DatabaseUnavailableError from error


class Session:
    """One user's way to tenant rows.

    `fetch` and `fetchval` run one statement in a transaction of its own; `transaction()` is for several. All raise
    what PostgreSQL says as asyncpg.PostgresError, and DatabaseUnavailableError.
    """

    def __init__(self, pool: Pool, user_id: str, *, read_only: bool) -> None:
        """Bind to `user_id`. Raises ValueError for what is not a user id."""
        self._pool = pool
        self._begin = begin_statement(user_id, read_only=read_only)

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Return all rows of `query`."""
        rows: list[asyncpg.Record] = await self._run("fetch", query, arguments)
        return rows

    async def fetchval(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the column holds
        """Return the first column of the first row of `query`, or None."""
        return await self._run("fetchval", query, arguments)

    def transaction(self) -> Transaction:
        """Return a transaction of the user, for `async with`; it gives a connection."""
        return Transaction(self._pool, self._begin)

    async def _run(self, method: Literal["fetch", "fetchval"], query: str, arguments: Sequence[object]) -> Any:  # noqa: ANN401 - what `method` returns
        """Run one statement in one transaction, once more if the first try left nothing behind."""
        try:
            return await self._run_once(method, query, arguments)
        except RETRYABLE:
            return await self._run_once(method, query, arguments)

    async def _run_once(self, method: str, query: str, arguments: Sequence[object]) -> Any:  # noqa: ANN401
        async with self.transaction() as connection:
            return await getattr(connection, method)(query, *arguments)
