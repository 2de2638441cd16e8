"""Sessions: how one user's tenant rows are read and written.

Each call of a `Session` is one transaction in three round trips:

    begin read only; set local …      one simple-protocol message: app.user_id, search_path
    the query                         its plan is cached on the connection
    commit                            back before the caller gets the result

The context ends with the transaction. Nothing is ever set on the PostgreSQL session, so a pooled connection has nothing
to reset: the pool sends no reset query, and PgBouncer in transaction mode is safe.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, Self, TypeGuard

import asyncpg
from asyncpg import Connection

from db.connect import OWN_NAMES_ONLY, UNAVAILABLE, DatabaseUnavailableError
from db.pool import Pool

# 1 to 255 characters, no control characters, nothing that UTF-8 cannot encode (a lone surrogate).
# The constraint tasks_user_id_valid has the same rule.
_USER_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")

# Nothing was committed, so the whole transaction can run again. After a migration the plan of a cached statement is
# stale; asyncpg itself retries only outside of a transaction.
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

    It also sets `search_path`, because a role may change its own settings: one smuggled `alter role app_api set
    search_path` would decide what every later statement calls.

    Raises ValueError for what is not a user id.
    """
    if not is_user_id(user_id):
        raise ValueError(f"not a user id: {user_id!r}")
    mode = "read only" if read_only else "read write"
    return f"begin {mode}; {OWN_NAMES_ONLY}; {caller_statement(user_id)}"


def caller_statement(user_id: str) -> str:
    """Return the SQL that makes `user_id` the caller until the transaction ends; an empty string is nobody.

    `set local` takes no parameters, so the id is an escaped literal: in E'' a quote is doubled and a backslash
    is doubled, whatever standard_conforming_strings says
    (https://www.postgresql.org/docs/18/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE).
    `set_config()` would take a parameter, but only the statement reaches the workers of a Citus cluster.
    """
    literal = user_id.replace("\\", "\\\\").replace("'", "''")
    return f"set local app.user_id = E'{literal}'"


class Transaction:
    """A user's transaction: committed at the end of the block, rolled back on any exception.

    It cannot be used after the block: by then another user may have the connection.
    """

    __slots__ = ("_begin", "_connection", "_pool", "_user_id")

    def __init__(self, pool: Pool, user_id: str, begin: str) -> None:
        """Check a connection of `pool` out for the user when it is entered, and run `begin`."""
        self._pool = pool
        self._user_id = user_id
        self._begin = begin
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        """Begin. Raises DatabaseUnavailableError."""
        if self._connection:
            raise asyncpg.InterfaceError("the transaction has begun already")
        self._connection = await self._pool.acquire(self._user_id)
        try:
            await self._connection.execute(self._begin)
        except BaseException as error:
            await self._end(self._connection, error)
            raise
        return self

    async def __aexit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        """Commit or roll back.

        Raises DatabaseUnavailableError if that, or `error`, means it; InFailedSQLTransactionError if there is nothing
        to commit, because the block went on after an error of PostgreSQL's.
        """
        await self._end(self._open_connection(), error)

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Return all rows of `query`."""
        return await self._open_connection().fetch(query, *arguments)

    async def fetchval(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the column holds
        """Return the first column of the first row of `query`, or None."""
        return await self._open_connection().fetchval(query, *arguments)

    async def execute(self, statement: str, *arguments: object) -> str:
        """Return what PostgreSQL reports of `statement`, such as "DELETE 1"."""
        return await self._open_connection().execute(statement, *arguments)

    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise asyncpg.InterfaceError("the transaction is over, or has not begun")
        return self._connection

    async def _end(self, connection: Connection, error: BaseException | None) -> None:
        """End the transaction and release the connection: clean, if the server has confirmed the end."""
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
        except (asyncpg.InterfaceError, *UNAVAILABLE) as failure:
            error = failure
            if not _is_unavailable(error, connection):
                raise
        except asyncpg.PostgresError:  # the server has rolled back instead
            clean = True
            raise
        finally:
            unavailable = _is_unavailable(error, connection)
            self._pool.release(connection, clean=clean)
        if unavailable:
            raise DatabaseUnavailableError from error


def _is_unavailable(error: BaseException | None, connection: Connection) -> bool:
    # asyncpg raises InterfaceError for a connection that broke between two statements, and for a caller's mistakes.
    return isinstance(error, UNAVAILABLE) or (isinstance(error, asyncpg.InterfaceError) and connection.is_closed())


class Session:
    """Reads and writes as one user.

    `fetch` and `fetchval` run one statement in a transaction of its own; `transaction()` is for several. All raise
    PostgreSQL's errors as asyncpg.PostgresError, and DatabaseUnavailableError.
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
        return Transaction(self._pool, self.user_id, self._begin)

    async def _run(self, method: Literal["fetch", "fetchval"], query: str, arguments: Sequence[object]) -> Any:  # noqa: ANN401 - what `method` returns
        """Run one statement in one transaction; if it failed for a reason that may be gone, once more."""
        try:
            async with self.transaction() as transaction:
                return await getattr(transaction, method)(query, *arguments)
        except RETRYABLE:
            async with self.transaction() as transaction:
                return await getattr(transaction, method)(query, *arguments)
