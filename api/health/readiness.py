"""The readiness check: nobody is served before the login, the schema's revision and the policies were found right.

It runs when the API starts, then again and again. A check that cannot reach the database changes nothing: requests
fail by themselves meanwhile.
"""

import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, Self

import asyncpg

from api.health.watch import Connect, Watch
from api.http.problems import NotReadyError
from db.audit import CHECKS, EDITED
from db.audit.state import AS_INSTALLED, is_edited, state_of_catalogs
from db.citus import ON_WORKER, is_worker
from db.connect import UNAVAILABLE, DatabaseUnavailableError
from db.pool import Pool
from db.revision import read_migrations, read_schema, why_not_served

log = logging.getLogger("partywall.readiness")

MIGRATIONS = read_migrations()

READY_INTERVAL = 5.0  # seconds between two checks, hence the longest life of a hole
NOT_READY_INTERVAL = 1.0  # the same while not ready
CHECK_TIMEOUT = 10.0  # seconds until a check is dropped: as many as app_api has for a statement
START_TIMEOUT = 10.0  # seconds that a start waits for the first check
REQUEST_TIMEOUT = 1.0  # seconds that a request waits for a check: for the first one, or for one that it asked for
RESUME_TIMEOUT = 10.0  # the same after a pause: a service that has suspended the database has to start it


class Reason(str):
    """Why nobody is served: a sentence for people, which has a code of a fixed set for the metrics."""

    __slots__ = ("code",)
    code: str

    def __new__(cls, code: str, sentence: str) -> Self:
        """Give the sentence its code."""
        self = super().__new__(cls, sentence)
        self.code = code
        return self


NOT_CHECKED = [Reason("not_checked", "The first check of the database is still under way.")]

WRONG_LOGIN = """
select concat('DATABASE_URL logs in as ', session_user, ' and acts as ' || nullif(current_user, session_user),
    ': policies bind the API only if it logs in as app_api and acts as nobody else.')
where session_user <> 'app_api' or current_user <> 'app_api'
"""
ERRORS = """
select name, concat(object, ': ', detail, ' Remedy: ' || remediation) from audit.findings where level = 'error'
"""
# A migration that installs the audit locks its views one by one, and so does a check: shorter than deadlock_timeout.
BEGIN = f"begin read only; {AS_INSTALLED}; set local lock_timeout = '100ms'"
# What says nothing about the policies. Any other error does: they could not be checked.
UNAVAILABLE_OR_BUSY = (
    *UNAVAILABLE,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
)


class Checked(Protocol):
    """What else is asked about a database."""

    def call(self) -> None:
        """Go on asking, or ask again if it pauses."""

    def reconnect(self) -> None:
        """Ask on a new connection from now on."""


class Readiness:
    """Whether tenants are served: `reasons` says why not, and is empty while the API is ready."""

    def __init__(
        self,
        connect: Connect,
        pool: Pool,
        database: Checked,
        *,
        pause_after: float = math.inf,
        pauses_unready: bool = False,
        log: logging.Logger = log,
    ) -> None:
        """Check the database of `connect` for `pool`. Without a cache of statements a check costs much more.

        Pause, and close the pool's connections, when there was no request for `pause_after` seconds; while not ready
        only if that `pauses_unready`. `database` is told when anything has changed that the check is about.
        """
        self.reasons = NOT_CHECKED
        self._audited: str | None = None  # the state of the catalogs in which the audit found no error
        self._pool = pool
        self._database = database
        self._log = log
        self._watch = Watch(
            connect,
            pool,
            self._check,
            interval=lambda: NOT_READY_INTERVAL if self.reasons else READY_INTERVAL,
            timeout=CHECK_TIMEOUT,
            # Because /health says that no request is served, none may ever come that would end the pause.
            pause_after=lambda: math.inf if self.reasons and not pauses_unready else pause_after,
        )

    async def __aenter__(self) -> Self:
        """Check from now on."""
        await self._watch.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Check no more."""
        await self._watch.__aexit__()

    async def first_check(self) -> None:
        """Return when the first check is over, or after START_TIMEOUT seconds."""
        await self._watch.ask_now(START_TIMEOUT)

    async def require(self) -> None:
        """Return if the API is ready. Raises NotReadyError, or DatabaseUnavailableError before the first check.

        After a pause it waits for a check: what was found before may not hold any more.
        """
        self._database.call()
        self.call()
        if self._watch.is_stale:
            await self._watch.catch_up(RESUME_TIMEOUT)
        if self.reasons is NOT_CHECKED:
            await self._watch.ask_now(REQUEST_TIMEOUT)
        if self.reasons is NOT_CHECKED or self._watch.is_stale:
            raise DatabaseUnavailableError("the readiness check could not run yet")
        if self.reasons:
            raise NotReadyError("Not ready: the database failed the readiness check. /health says why.")

    def call(self) -> None:
        """Go on checking, or check again if it pauses."""
        self._watch.call()

    @property
    def is_stale(self) -> bool:
        """Whether nothing was found since the last pause."""
        return self._watch.is_stale

    async def require_again(self) -> None:
        """Check now, because something that was there is not, and do what `require` does."""
        await self._watch.ask_now(REQUEST_TIMEOUT)
        await self.require()

    async def _check(self, connection: asyncpg.Connection) -> None:
        state = await _catalogs(connection)
        unchanged = state == self._audited
        if self._audited and not unchanged:  # settings of roles and databases may be among the changes
            self._database.reconnect()
        reasons = await (_fast_reasons if unchanged else find_reasons)(connection)
        self._audited = None if reasons else state
        if reasons:
            if reasons != self.reasons:
                self._log.warning("not ready", extra={"reasons": reasons})
            self.reasons = reasons
            self._database.call()  # as long as this is checked, so is that
            # Role settings apply to new sessions only, so reconnect: here, and for every request from now on.
            await connection.close()
        elif self.reasons:
            self._pool.expire()
            if self.reasons is not NOT_CHECKED:
                self._log.warning("ready again")
            self.reasons = reasons


async def find_reasons(connection: asyncpg.Connection) -> list[Reason]:
    """Return why the API may not serve by the login of this connection: what is wrong, and what to do."""
    async with _transaction(connection):
        if await is_worker(connection):
            return [Reason("citus_worker", ON_WORKER)]
    return [*await _fast_reasons(connection), *await _errors(connection)]


async def _fast_reasons(connection: asyncpg.Connection) -> list[Reason]:
    async with _transaction(connection):
        wrong_login = [Reason("wrong_login", sentence) for (sentence,) in await connection.fetch(WRONG_LOGIN)]
    unserved = why_not_served(await read_schema(connection), MIGRATIONS)
    return [*wrong_login, *(Reason("revision", sentence) for sentence in unserved)]


async def _errors(connection: asyncpg.Connection) -> list[Reason]:
    try:
        async with _transaction(connection):
            edited = await is_edited(connection)
            found = [_finding(*row) for row in await connection.fetch(ERRORS)]
    except UNAVAILABLE_OR_BUSY:
        raise
    except Exception as error:  # noqa: BLE001 - see UNAVAILABLE_OR_BUSY
        return [Reason("audit_unreadable", f"The audit cannot be read ({error}): run alembic upgrade head.")]
    sentence = f"{EDITED.object}: {EDITED.detail} Remedy: {EDITED.remediation}"
    return [Reason("audit_edited", sentence), *found] if edited else found


def _finding(name: str, sentence: str) -> Reason:
    return Reason(name if name in CHECKS else "other", sentence)  # a view that was edited may say anything


async def _catalogs(connection: asyncpg.Connection) -> str:
    async with _transaction(connection):
        return await state_of_catalogs(connection)


@asynccontextmanager
async def _transaction(connection: asyncpg.Connection) -> AsyncIterator[None]:
    await connection.execute(BEGIN)
    yield
    await connection.execute("commit")  # after an error there is nothing to roll back: the connection is closed
