"""Sessions: how one user reads and writes tenant rows: their own, or those of one workspace.

Each call of a `Session` is one transaction, sent at once if that can be (`db.pipeline`):

    begin read only; set local …      one simple-protocol message: search_path, timezone, app.user_id, app.workspace_id
    the query                         its plan is cached on the connection
    commit                            back before the caller gets the result

The context ends with the transaction. Nothing is ever set on the PostgreSQL session, so a pooled connection has nothing
to reset: the pool sends no reset query, and PgBouncer in transaction mode is safe.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Any, Literal, NoReturn, Self, TypeAlias, TypeGuard, TypeVar
from uuid import UUID

import asyncpg

from db.connect import OWN_NAMES_ONLY, DatabaseReadOnlyError, DatabaseUnavailableError, is_lost, is_unavailable
from db.connection import BROKEN, Connection
from db.metrics import Closed, Phase, Timing, count_retry, observe
from db.pipeline import query
from db.pool import Pool
from db.replica import Target, has_replayed
from db.turns import AllInUseError

# 1 to 255 characters, no control characters, nothing that UTF-8 cannot encode (a lone surrogate). The constraints, such
# as tasks_user_id_valid, have the same rule. Neither "." nor "..", which only this refuses: clients resolve them in a
# path, so that DELETE /workspaces/{workspace_id}/members/.. would delete the workspace.
_USER_ID = re.compile(r"(?!\.{1,2}\Z)[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")

# A pooler in between has changed, and no longer holds prepared statements. New connections find that out.
NOT_PREPARED = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)

# Nothing was committed, so the whole transaction can run again. After a migration the plan of a cached statement is
# stale; asyncpg itself retries only outside of a transaction.
RETRYABLE = (
    asyncpg.InvalidCachedStatementError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    *NOT_PREPARED,
)

# What a standby may say and the primary may not: it is unavailable, has not replayed enough, or not the schema either;
# what it replays conflicts with the read; it has no serializable transactions.
NOT_ON_REPLICA = (
    *RETRYABLE,
    DatabaseUnavailableError,
    asyncpg.DivisionByZeroError,
    asyncpg.FeatureNotSupportedError,
    asyncpg.LockNotAvailableError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.InvalidSchemaNameError,
)


# PostgreSQL renders the timestamps of responses, and of ETags, in the session's time zone. The API asks for UTC when it
# connects, and db/roles.sql sets it; a proxy may drop the one, and anybody with the right may change the other.
_IN_UTC = "set local timezone = 'UTC'"


Result = TypeVar("Result")


def is_user_id(value: object) -> TypeGuard[str]:
    """Return whether `value` can name a user: 1 to 255 characters, no control characters, not "." or ".."."""
    return isinstance(value, str) and _USER_ID.fullmatch(value) is not None


def begin_statement(user_id: str, *, read_only: bool, workspace_id: UUID | None = None) -> str:
    """Return the SQL that opens a transaction of `user_id`, who acts in `workspace_id` or in no workspace.

    Whether they are a member is not asked here: the policies do, in each statement.

    It also sets `search_path`, because a role may change its own settings: one smuggled `alter role app_api set
    search_path` would decide what every later statement calls.

    To write it says nothing: `read write` would override default_transaction_read_only, by which a DBA freezes a
    database, and a standby refuses it before any statement does.

    Raises ValueError for what is not a user id.
    """
    if not is_user_id(user_id):
        raise ValueError(f"not a user id: {user_id!r}")
    begin = "begin read only" if read_only else "begin"
    context = caller_statement(user_id)
    if workspace_id:
        context += f"; {setting_statement('app.workspace_id', str(workspace_id))}"
    return f"{begin}; {OWN_NAMES_ONLY}; {_IN_UTC}; {context}"


def caller_statement(user_id: str) -> str:
    """Return the SQL that makes `user_id` the caller until the transaction ends; an empty string is nobody."""
    return setting_statement("app.user_id", user_id)


def setting_statement(setting: str, value: str) -> str:
    """Return the SQL that gives a setting a value until the transaction ends.

    `set local` takes no parameters, so the value is an escaped literal: in E'' a quote is doubled and a backslash
    is doubled, whatever standard_conforming_strings says
    (https://www.postgresql.org/docs/18/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE).
    `set_config()` would take a parameter, but only the statement reaches the workers of a Citus cluster.
    """
    literal = value.replace("\\", "\\\\").replace("'", "''")
    return f"set local {setting} = E'{literal}'"


class Transaction:
    """A user's transaction: committed at the end of the block, rolled back on any exception.

    It begins with its first statement. It cannot be used after the block: by then another user may have the connection.
    """

    __slots__ = (
        "_begin",
        "_connection",
        "_deadline",
        "_finish_failed",
        "_is_finished",
        "_is_single",
        "_lsn",
        "_pool",
        "_read_only",
        "_user_id",
        "timing",
    )

    def __init__(
        self,
        pool: Pool,
        user_id: str,
        begin: str,
        *,
        read_only: bool,
        is_single: bool = False,
        deadline: float | None = None,
        lsn: int = 0,
    ) -> None:
        """Check a connection of `pool` out for the user when it is entered, and run `begin`.

        A single statement is committed with it, if that can be. With an `lsn` it fails unless that is replayed.
        """
        self._pool = pool
        self._user_id = user_id
        self._begin = begin
        self._read_only = read_only
        self._is_single = is_single
        self._deadline = deadline
        self._lsn = lsn
        self.timing: Timing | None = None  # to which it adds how long it takes
        self._connection: Connection | None = None
        self._is_finished = self._finish_failed = False

    async def __aenter__(self) -> Self:
        """Begin. Raises DatabaseUnavailableError."""
        if self._connection:
            raise asyncpg.InterfaceError("the transaction has begun already")
        await self._begin_on(await self._timed("check_out", self._pool.acquire(self._user_id, self._deadline)))
        return self

    async def __aexit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        """Commit or roll back.

        Raises DatabaseUnavailableError if that, or `error`, means it; InFailedSQLTransactionError if there is nothing
        to commit, because the block went on after an error of PostgreSQL's.
        """
        if self._connection or not error:
            await self._end(self._open_connection(), error)

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Return all rows of `query`."""
        rows: list[asyncpg.Record] = await self._run("fetch", query, arguments)
        return rows

    async def fetchval(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the column holds
        """Return the first column of the first row of `query`, or None."""
        return await self._run("fetchval", query, arguments)

    async def execute(self, statement: str, *arguments: object) -> str:
        """Return what PostgreSQL reports of `statement`, such as "DELETE 1"."""
        status: str = await self._run("execute", statement, arguments)
        return status

    async def finish(self, statement: str, *arguments: object) -> None:
        """Run the last statement; `commit` is sent with it, if that can be."""
        connection = self._open_connection()
        if connection.pipeline:
            connection.pipeline.commit_after_next()
        try:
            await self.execute(statement, *arguments)
        except BaseException:
            self._finish_failed = True
            raise
        finally:
            self._is_finished = True

    async def _run(
        self, method: Literal["fetch", "fetchval", "execute"], query: str, arguments: Sequence[object]
    ) -> Any:  # noqa: ANN401 - what `method` returns
        """Run a statement: on another connection, if this one breaks before anything was done."""
        if self._is_finished:  # it would be committed on its own
            raise asyncpg.InterfaceError("the last statement of the transaction was run already")
        while True:
            connection = self._open_connection()
            try:
                return await self._timed("query", getattr(connection, method)(query, *arguments))
            except Exception as error:
                if not self._can_be_repeated(error, connection):
                    raise
                self._connection = None
                await self._begin_on(await self._pool.replace(connection, error))

    def _can_be_repeated(self, error: Exception, connection: Connection) -> bool:
        """Return whether `connection` was lost before the transaction had begun, and nothing can have been written."""
        pipeline = connection.pipeline
        if pipeline is None or not pipeline.is_used or not is_lost(error, connection):
            return False
        return not pipeline.has_begun if self._read_only else pipeline.was_not_executed

    async def _begin_on(self, connection: Connection) -> None:
        """Send `begin` with the first statement, or now: on another connection, if this one breaks.

        A connection that was idle for long may have been forgotten by a firewall. With a write, it would stay unknown
        whether that has been done.
        """
        pipeline = connection.pipeline
        begin = self._begin if connection.replayed >= self._lsn else f"{self._begin}; {has_replayed(self._lsn)}"
        if pipeline and (self._read_only or self._pool.was_used_lately(connection)):
            pipeline.start(query(begin), commits=self._is_single)
            self._connection = connection
            return
        try:
            await self._timed("query", connection.execute(begin))
        except BaseException as error:
            if not isinstance(error, Exception) or not is_lost(error, connection):
                await self._end(connection, error)
                raise
            await self._begin_on(await self._pool.replace(connection, error))
        else:
            self._connection = connection

    async def _timed(self, phase: Phase, work: Awaitable[Result]) -> Result:
        started = perf_counter()
        try:
            return await work
        finally:
            observe(phase, started, self.timing)

    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise asyncpg.InterfaceError("the transaction is over, or has not begun")
        return self._connection

    async def _end(self, connection: Connection, error: BaseException | None) -> None:
        """End the transaction and release the connection: clean, if the server has confirmed the end."""
        self._connection = None
        pipeline = connection.pipeline
        is_open = pipeline.stop() if pipeline and pipeline.is_used else True
        clean = False
        try:
            if error is None:
                if self._finish_failed or (is_open and await self._end_by("commit", connection) == "ROLLBACK"):
                    _raise_nothing_saved()  # the block has swallowed an error of PostgreSQL's
                clean = True
                connection.remember_replayed(self._lsn)
            elif isinstance(error, Exception) and not is_lost(error, connection):
                with suppress(*BROKEN):
                    if is_open:
                        await self._end_by("rollback", connection)
                    clean = True
        except Exception as failure:
            # The server has rolled back instead.
            clean = isinstance(failure, asyncpg.PostgresError) and not is_lost(failure, connection)
            error = failure
            raise
        finally:
            unavailable = isinstance(error, Exception) and self._unavailability(error, connection)
            why: Closed = "broken" if isinstance(error, Exception) else "cancelled"
            self._pool.release(connection, clean=clean, why=why)
            if unavailable:
                raise unavailable from error

    async def _end_by(self, statement: str, connection: Connection) -> str:
        return await self._timed("commit", connection.execute(statement))

    def _unavailability(self, error: Exception, connection: Connection) -> DatabaseUnavailableError | None:
        """Return what `error` says of the database, if it says nothing of the request."""
        if isinstance(error, NOT_PREPARED):
            self._pool.distrust(connection)
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError) and not self._read_only:
            self._pool.distrust(connection)
            return DatabaseReadOnlyError(str(error))
        return DatabaseUnavailableError(str(error)) if is_unavailable(error, connection) else None


def _raise_nothing_saved() -> NoReturn:
    raise asyncpg.InFailedSQLTransactionError("an error has ended the transaction: nothing is saved")


Work: TypeAlias = Callable[[Transaction], Awaitable[Result]]


class Session:
    """Reads and writes as one user, in one workspace if there is a `workspace_id`.

    `fetch` and `fetchval` run one statement in a transaction of its own; `run` is for several, and `transaction()` for
    those that must not run again. All raise PostgreSQL's errors as asyncpg.PostgresError, and DatabaseUnavailableError.
    What asyncpg raises for a value that it cannot decode (a year before 1) may come after the commit.
    """

    def __init__(
        self,
        pool: Pool,
        user_id: str,
        *,
        read_only: bool,
        workspace_id: UUID | None = None,
        replica: Target | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Bind to `user_id`, and to a workspace. Raises ValueError for what is not a user id.

        Single statements run on the `replica`, and on `pool` if it fails them. How long everything takes is added to
        `timing`.
        """
        self.user_id = user_id
        self.workspace_id = workspace_id
        self.used_replica = False  # so far for all statements, if there was any
        self._pool = pool
        self._read_only = read_only
        self._begin = begin_statement(user_id, read_only=read_only, workspace_id=workspace_id)
        self._replica = replica
        self._timing = timing

    @property
    def tenant(self) -> str | UUID:
        """Whose rows these are: $1 of every statement that names its tenant."""
        return self.workspace_id or self.user_id

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Return all rows of `query`."""
        return await self._run(lambda transaction: transaction.fetch(query, *arguments), is_single=True)

    async def fetchval(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the column holds
        """Return the first column of the first row of `query`, or None."""
        return await self._run(lambda transaction: transaction.fetchval(query, *arguments), is_single=True)

    async def run(self, work: Work[Result]) -> Result:
        """Return what `work` returns for a transaction, which is then committed. `work` may be called twice."""
        return await self._run(work, is_single=False)

    def transaction(self) -> Transaction:
        """Return a transaction of the user, for `async with`."""
        transaction = Transaction(self._pool, self.user_id, self._begin, read_only=self._read_only)
        transaction.timing = self._timing
        return transaction

    async def _run(self, work: Work[Result], *, is_single: bool) -> Result:
        """Do the work in one transaction; if it failed for a reason that may be gone, once more."""
        run = partial(self._run_once, work, is_single, self._pool.deadline())  # the deadline of all tries
        if self._replica and is_single:
            try:
                result = await run(self._replica.pool, self._replica.lsn)
            except AllInUseError:  # the primary has enough to do
                raise
            except NOT_ON_REPLICA as error:
                if isinstance(error, DatabaseUnavailableError):
                    self._replica.on_failure()
                count_retry(error)
                self._replica, self.used_replica = None, False
            else:
                self.used_replica = True
                return result
        try:
            return await run(self._pool)
        except RETRYABLE as error:
            count_retry(error)
            return await run(self._pool)

    async def _run_once(self, work: Work[Result], is_single: bool, deadline: float, pool: Pool, lsn: int = 0) -> Result:  # noqa: FBT001 - of `_run`
        transaction = Transaction(
            pool,
            self.user_id,
            self._begin,
            read_only=self._read_only,
            is_single=is_single,
            deadline=deadline,
            lsn=lsn,
        )
        transaction.timing = self._timing
        async with transaction:
            return await work(transaction)
