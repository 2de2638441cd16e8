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
from typing import Any, Literal, Self, TypeGuard

import asyncpg
from asyncpg import Connection

from db.connect import UNAVAILABLE, DatabaseUnavailableError
from db.pool import Pool

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


class Transaction:
    """A user's transaction: committed at the end of the block, rolled back on any exception.

    What is kept beyond the block is of no use: the connection is somebody else's by then. It is a class, because a
    generator of `asynccontextmanager` is 5 % of a request.
    """

    __slots__ = ("_begin", "_connection", "_pool")

    def __init__(self, pool: Pool, begin: str) -> None:
        """Take a connection of `pool` when it is entered, and run `begin`."""
        self._pool = pool
        self._begin = begin
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        """Begin. Raises DatabaseUnavailableError."""
        if self._connection:
            raise asyncpg.InterfaceError("the transaction has begun already")
        self._connection = await self._pool.acquire()
        try:
            await self._connection.execute(self._begin)
        except BaseException as error:
            await self._leave(self._connection, error)
            raise
        return self

    async def __aexit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        """Commit or roll back.

        Raises DatabaseUnavailableError if that, or `error`, means it; InFailedSQLTransactionError if there is nothing
        to commit, because the block went on after an error of PostgreSQL's.
        """
        await self._leave(self._open_connection(), error)

    async def execute(self, statement: str, *arguments: object) -> str:
        """Run a statement; return its status."""
        return await self._open_connection().execute(statement, *arguments)

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Return all rows of `query`."""
        return await self._open_connection().fetch(query, *arguments)

    async def fetchval(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the column holds
        """Return the first column of the first row of `query`, or None."""
        return await self._open_connection().fetchval(query, *arguments)

    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise asyncpg.InterfaceError("the transaction is over, or has not begun")
        return self._connection

    async def _leave(self, connection: Connection, error: BaseException | None) -> None:
        """End the transaction and give the connection back: clean, if the server has said that it ended."""
        self._connection = None
        clean = False
        try:
            if error is None:
                status = await connection.execute("commit")
                clean = True
                if status == "ROLLBACK":  # the block has swallowed an error of PostgreSQL's
                    raise asyncpg.InFailedSQLTransactionError("an error has ended the transaction: nothing is saved")
            elif isinstance(error, Exception) and not isinstance(error, UNAVAILABLE):
                with suppress(asyncpg.InterfaceError, *UNAVAILABLE):
                    await connection.execute("rollback")
                    clean = True
        except UNAVAILABLE as failure:
            error = failure
        except asyncpg.InterfaceError as failure:
            if not connection.is_closed():
                raise
            error = failure
        except asyncpg.PostgresError:  # the server has rolled back instead
            clean = True
            raise
        finally:
            # What asyncpg says when the connection broke between two statements, and of a caller's mistakes.
            broken = isinstance(error, asyncpg.InterfaceError) and connection.is_closed()
            self._pool.release(connection, clean=clean)
        if broken or isinstance(error, UNAVAILABLE):
            raise DatabaseUnavailableError from error


class Session:
    """One user's way to tenant rows.

    `fetch` and `fetchval` run one statement in a transaction of its own; `transaction()` is for several. All raise
    what PostgreSQL says as asyncpg.PostgresError, and DatabaseUnavailableError.
    """

    def __init__(self, pool: Pool, user_id: str, *, read_only: bool) -> None:
        """Bind to `user_id`. Raises ValueError for what is not a user id."""
        self.user_id = user_id
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
        """Return a transaction of the user, for `async with`."""
        return Transaction(self._pool, self._begin)

    async def _run(self, method: Literal["fetch", "fetchval"], query: str, arguments: Sequence[object]) -> Any:  # noqa: ANN401 - what `method` returns
        """Run one statement in one transaction, once more if the first try left nothing behind."""
        try:
            return await self._run_once(method, query, arguments)
        except RETRYABLE:
            return await self._run_once(method, query, arguments)

    async def _run_once(self, method: str, query: str, arguments: Sequence[object]) -> Any:  # noqa: ANN401
        async with self.transaction() as transaction:
            return await getattr(transaction, method)(query, *arguments)
