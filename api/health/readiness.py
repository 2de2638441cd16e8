"""The boot gate: nobody is served before the login, the schema's revision and the walls were found right.

The gate looks when the API starts, then again and again. It opens when nothing is wrong and closes when something
is. A look that fails changes nothing: while the database is away, requests fail by themselves.
"""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import Self

import asyncpg

from api.health.routes import NOT_MIGRATED, Probe, schema_revision
from api.http.problems import ClosedError
from db.connect import UNAVAILABLE, DatabaseUnavailableError
from db.pool import Pool

log = logging.getLogger("partywall.gate")

# From the names of the files, such as 0001_tasks.py: importing Alembic would cost each worker 20 MB.
MIGRATIONS = Path(__file__).parent.parent.parent / "migrations" / "versions"
REVISIONS = sorted(file.name.partition("_")[0] for file in MIGRATIONS.glob("[!_]*.py"))
HEAD = REVISIONS[-1]

OPEN_PAUSE = 5.0  # seconds between two looks, hence the longest life of a hole; a look costs the server about 10 ms
CLOSED_PAUSE = 1.0  # the same while closed, or while the database is away: it opens soon after it was mended
GIVE_UP = 10.0  # seconds until a look is dropped: as many as app_api has for a statement
FIRST_LOOK = 1.0  # seconds that a start or a request waits for the first look

NOT_LOOKED = ["The first look at the database is still under way."]

WRONG_LOGIN = """
select concat('DATABASE_URL logs in as ', session_user, ' and acts as ' || nullif(current_user, session_user),
    ': policies bind the API only if it logs in as app_api and acts as nobody else.')
where session_user <> 'app_api' or current_user <> 'app_api'
"""
BROKEN_WALLS = """
select concat(object, ': ', detail, ' Remedy: ' || remediation) from audit.findings where level = 'error'
"""
# A migration that installs the audit locks its views one by one, and so does a look: shorter than deadlock_timeout.
BEGIN = "begin read only; set local lock_timeout = '100ms'"
# What says nothing about the walls. Any other error does: they could not be examined.
UNAVAILABLE_OR_BUSY = (
    *UNAVAILABLE,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
)


class Gate:
    """Whether tenants are served: `reasons` says why not, and is empty while the gate is open."""

    def __init__(self, url: str, pool: Pool, *, statement_cache_size: int) -> None:
        """Guard `pool` by looking at the database of `url`. Without a cache of statements a look costs much more."""
        self.reasons = NOT_LOOKED
        self._pool = pool
        self._probe = Probe(url, self._look, give_up=GIVE_UP, statement_cache_size=statement_cache_size)

    async def __aenter__(self) -> Self:
        """Look for the first time, and from now on."""
        self._watching = asyncio.create_task(self._watch())
        with suppress(DatabaseUnavailableError):
            await self.first_look()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Look no more."""
        self._watching.cancel()
        await asyncio.wait([self._watching])
        await self._probe.aclose()

    async def first_look(self) -> None:
        """Look now, if no look came to its end yet. Raises DatabaseUnavailableError when this one does not either."""
        if self.reasons is NOT_LOOKED:
            await self._probe.ask(FIRST_LOOK)

    async def admit(self) -> None:
        """Return if the gate is open. Raises ClosedError, or DatabaseUnavailableError before the first look."""
        await self.first_look()
        if self.reasons:
            raise ClosedError("The API is closed: its database is not safe to use. /health says why.")

    async def _watch(self) -> None:
        while True:
            pause = CLOSED_PAUSE
            with suppress(DatabaseUnavailableError):
                await self._probe.ask(GIVE_UP)
                pause = CLOSED_PAUSE if self.reasons else OPEN_PAUSE
            await asyncio.sleep(pause)

    async def _look(self, connection: asyncpg.Connection) -> None:
        reasons = await find_reasons(connection)
        if reasons:
            if reasons != self.reasons:
                log.warning("the gate is closed", extra={"reasons": reasons})
            self.reasons = reasons
            # A session keeps the settings that its role had when it began. The next look begins one,
            await connection.close()
        elif self.reasons:
            # and so does each request after the gate was closed.
            self._pool.expire()
            if self.reasons is not NOT_LOOKED:
                log.warning("the gate is open again")
            self.reasons = reasons


async def find_reasons(connection: asyncpg.Connection) -> list[str]:
    """Return why the API may not serve by the login of this connection: what is wrong, and what to do."""
    return [
        *[sentence for (sentence,) in await connection.fetch(WRONG_LOGIN)],
        *_wrong_revision(await schema_revision(connection)),
        *await _broken_walls(connection),
    ]


async def _broken_walls(connection: asyncpg.Connection) -> list[str]:
    try:
        await connection.execute(BEGIN)
        sentences = [sentence for (sentence,) in await connection.fetch(BROKEN_WALLS)]
        await connection.execute("commit")  # after an error there is nothing to roll back: the connection is closed
    except UNAVAILABLE_OR_BUSY:
        raise
    except Exception as error:  # noqa: BLE001 - see UNAVAILABLE_OR_BUSY
        return [f"The walls cannot be examined ({error}): run alembic upgrade head."]
    return sentences


def _wrong_revision(revision: str | None) -> list[str]:
    if revision is None:
        return [NOT_MIGRATED]
    if revision in REVISIONS[:-1]:
        return [f"The schema is at revision {revision}, and this version needs {HEAD}: run alembic upgrade head."]
    # An older API runs on a newer schema: while a release rolls out, and after it was rolled back.
    if revision == HEAD or (revision.isdecimal() and int(revision) > int(HEAD)):
        return []
    return [f"The schema is at revision {revision}, which is unknown here: is DATABASE_URL that of another program?"]
