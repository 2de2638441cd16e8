"""Whether the database responds and takes writes: checked in the background, so that /health can tell at once."""

import asyncio
import logging
import math
from typing import Self

from asyncpg import Connection

from api.health.watch import Connect, Watch
from api.observability.causes import cause_of
from db.citus import HAS_CITUS_GROUPS
from db.connect import DatabaseUnavailableError
from db.pool import Pool
from db.revision import read_schema

log = logging.getLogger("partywall.database")

CHECK_INTERVAL = 1.0  # seconds between two checks
START_TIMEOUT = 5.0  # seconds that a start waits for the first one

# "on" on a standby, and where a DBA has set default_transaction_read_only. Citus sends each `set local` on to its
# workers, where application_name is how it tells its own connections from others.
READ_STATE = f"select pg_catalog.current_setting('transaction_read_only'), ({HAS_CITUS_GROUPS})"
# Before, pg_stat_statements keeps an entry for each value that a setting is given, and would have one for each trace.
SHOWS_TRACES_SINCE = 18


class Availability:
    """What the database said when it was last asked."""

    def __init__(self, connect: Connect, pool: Pool, *, tolerance: float, pause_after: float = math.inf) -> None:
        """Check by `connect` and `pool`. The database is unavailable after `tolerance` seconds without a response.

        Without a call for `pause_after` seconds it is not checked, and counts as available.
        """
        self.read_only = False
        self.shows_traces = False  # whether a transaction can have the id of its trace as application_name
        self.revision: str | None = None  # of the schema; None if there is none that the API may read
        self._pool = pool
        self._tolerance = tolerance
        self._loop = asyncio.get_running_loop()
        self._responded_at: float | None = None
        self._failed_at: float | None = None  # for the first time since it responded
        self._logged = ""
        self._watch = Watch(
            connect,
            pool,
            self._ask,
            interval=lambda: CHECK_INTERVAL,
            timeout=tolerance,
            on_failure=self._tell_failure,
            pause_after=lambda: pause_after,
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

    @property
    def age(self) -> float | None:
        """Seconds since the database last responded, to the check or to a request; None if it never did."""
        responses = [at for at in (self._responded_at, self._pool.responded_at) if at is not None]
        return self._loop.time() - max(responses) if responses else None

    @property
    def is_paused(self) -> bool:
        """Whether nobody calls, so that the database is not checked."""
        return self._watch.is_paused

    @property
    def is_available(self) -> bool:
        """Whether the database has responded within the tolerance; a pause does not count."""
        if self.age is None:
            return False
        return self.is_paused or min(self.age, self._loop.time() - self._watch.asking_since) <= self._tolerance

    def call(self) -> None:
        """Go on checking: somebody needs the database."""
        self._watch.call()

    def reconnect(self) -> None:
        """Check on a new connection from now on."""
        self._watch.reconnect()

    async def _ask(self, connection: Connection) -> None:
        [(read_only, is_citus)] = await connection.fetch(READ_STATE)
        self._tell_read_only(read_only=read_only == "on")
        self.shows_traces = connection.get_server_version().major >= SHOWS_TRACES_SINCE and not is_citus
        self._tell_success()
        self.revision = str(await read_schema(connection)) or None
        if self.read_only:  # until it moves, or is allowed to write: both are seen on a new connection only
            await connection.close()

    def _tell_read_only(self, *, read_only: bool) -> None:
        if read_only != self.read_only:
            log.warning("the database is read only" if read_only else "the database takes writes again")
        self.read_only = read_only

    def _tell_success(self) -> None:
        self._responded_at = self._loop.time()
        if self._failed_at is not None:
            seconds = round(self._responded_at - self._failed_at, 1)
            log.warning("the database is available again, after %s seconds", seconds)
        self._failed_at = None
        self._logged = ""

    def _tell_failure(self, error: DatabaseUnavailableError) -> None:
        self._failed_at = self._failed_at or self._loop.time()
        if (cause := cause_of(error)) != self._logged:
            log.error("the database is unavailable: %s", cause)
        self._logged = cause
