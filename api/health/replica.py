"""Whether reads may run on the replica: asked in the background, so that a request finds out at once."""

import logging
import math
from contextlib import AsyncExitStack
from time import monotonic
from typing import Self

from api.health.availability import Availability
from api.health.readiness import NOT_CHECKED as NOT_READ
from api.health.readiness import Readiness
from api.health.watch import RETRY_INTERVAL, Connect, Watch
from api.observability.logs import cause_of
from api.observability.metrics import replica_lag, replica_used
from db.connect import DatabaseUnavailableError
from db.connection import Connection
from db.metrics import PoolMetrics
from db.pool import Pool
from db.pooler import leads_to_postgresql
from db.replica import Identity, Positions, Target, read_identity, read_position, read_replayed

log = logging.getLogger("partywall.replica")

INTERVAL = 0.25  # seconds between two checks of either server
TIMEOUT = 2.0  # seconds without a response to a check until the replica is not used
BEGIN_TIMEOUT = 1.0  # seconds until a read that hangs there runs on the primary; TIMEOUT if it opens a connection

NOT_CHECKED = "it has not been checked yet"
ANOTHER = "DATABASE_REPLICA_URL leads to another database than DATABASE_URL"
PRIMARY = "it is no standby: it was promoted, or is the primary itself"
AHEAD = "it does not follow the primary: it has replayed what the primary does not have"


class Replica:
    """A standby, and why it is not used: `reason`, which is "" while it is."""

    def __init__(
        self,
        connect: Connect,
        pool: Pool,
        connect_to_primary: Connect,
        primary: Pool,
        database: Availability,
        *,
        max_lag: float,
        pause_after: float = math.inf,
    ) -> None:
        """Check the standby of `connect` and `pool` against the primary. It may lag by `max_lag` seconds.

        Pause when there was no request for `pause_after` seconds.
        """
        self.reason = NOT_CHECKED
        self._too_far_behind = f"it is behind the primary by more than {max_lag:g} s (REPLICA_MAX_LAG)"
        self._unknown = NOT_CHECKED  # why no position of the primary is known
        self._pool = pool
        pool.connect_timeout, pool.begin_timeout = TIMEOUT, BEGIN_TIMEOUT
        pool.check = self._require_same
        pool.metrics = PoolMetrics("replica")
        self._database = database
        self._positions = Positions(max_lag)
        self._identity: Identity | None = None  # the primary's
        self._replayed = 0
        self._caught_up_at: float | None = None  # when the primary had not yet more than is replayed
        self._is_ahead = False
        self._is_usable = False  # as the last check found it
        self._exits = AsyncExitStack()
        self._readiness = Readiness(connect, self._pool, self, pause_after=pause_after, pauses_unready=True, log=log)
        self._sampling = Watch(
            connect_to_primary,
            primary,
            self._ask_primary,
            interval=lambda: INTERVAL,
            timeout=TIMEOUT,
            on_failure=self._primary_fails,
            pause_after=lambda: pause_after,
        )
        self._watch = Watch(
            connect,
            self._pool,
            self._ask,
            interval=lambda: RETRY_INTERVAL if self._is_bad else INTERVAL,
            timeout=TIMEOUT,
            on_failure=lambda error: self._tell(f"it does not respond: {cause_of(error)}"),
            pause_after=lambda: pause_after,
        )

    async def __aenter__(self) -> Self:
        """Check from now on."""
        for each in (self._pool, self._sampling, self._watch, self._readiness):
            await self._exits.enter_async_context(each)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Check no more, and close the pool."""
        await self._exits.aclose()

    def target(self, bookmark: int | None) -> Target | None:
        """Return where a read may run that sees what was committed before the time `bookmark`; None: on the primary.

        The lag is that of now, and not of the last check.
        """
        self.call()
        self._readiness.call()
        if not self._is_usable:
            return None
        lsn = self._positions.required(self._primary_responded_at, bookmark or 0)
        return None if lsn is None or lsn > self._replayed else Target(self._pool, lsn, self._doubt)

    def show(self) -> None:
        """Set the gauges of the metrics to what they are now."""
        self._pool.show()
        replica_used().set(self._is_usable)
        if self._caught_up_at is not None:
            replica_lag().set(max(0, self._primary_responded_at - self._caught_up_at))

    def bookmark(self) -> int:
        """Return a time after all commits of which somebody knows by now."""
        return self._positions.bookmark()

    @property
    def _is_bad(self) -> bool:
        return self.reason not in {"", NOT_CHECKED}

    @property
    def _primary_responded_at(self) -> float:
        """When, by time.monotonic(). While the primary does not respond nothing is committed, and no lag grows.

        Between two checks it counts as responding: else a read could be older by the time between them.
        """
        now = monotonic()
        return now if now - self._positions.asked < 3 * INTERVAL else now - (self._database.age or 0)

    def call(self) -> None:
        """Go on checking, or check again if it pauses: then no read runs there before that."""
        for each in (self._sampling, self._watch):
            each.call()
            if each.is_stale:
                self._is_usable = False

    def reconnect(self) -> None:
        """Check on a new connection from now on."""
        self._watch.reconnect()

    def _doubt(self) -> None:
        """Use it again after the next check: a request has found it unavailable."""
        self._is_usable = False
        self._pool.end_waits()
        self._watch.wake()

    async def _require_same(self, connection: Connection) -> None:
        """Return if a new connection of the pool leads to the right database: a name may lead to several servers."""
        connection.is_direct = await leads_to_postgresql(connection)
        if self._identity and not self._identity.is_same(await read_identity(connection)):
            raise DatabaseUnavailableError(ANOTHER)

    async def _ask_primary(self, connection: Connection) -> None:
        replayed = self._replayed  # before
        position = await read_position(connection)
        self._identity = await read_identity(connection)
        self._unknown = NOT_CHECKED
        self._positions.add(position)
        self._is_ahead = replayed > position.lsn
        if self._is_ahead:
            self._positions.forget()

    def _primary_fails(self, error: DatabaseUnavailableError) -> None:
        self._unknown = f"how far it is behind the primary is not known: {cause_of(error)}"

    async def _ask(self, connection: Connection) -> None:
        identity = await read_identity(connection)
        replayed = await read_replayed(connection)
        self._replayed = replayed or 0
        lsn = None if self._sampling.is_stale else self._positions.required(self._primary_responded_at)
        why = self._why_not(identity, replayed, lsn)
        if why not in {ANOTHER, PRIMARY, AHEAD}:
            self._caught_up_at = self._positions.asked_of(self._replayed) or self._caught_up_at
        self._tell(why)
        if self._is_bad:  # the name may lead to another server next time
            await connection.close()

    def _why_not(self, identity: Identity, replayed: int | None, lsn: int | None) -> str:
        if self._identity and not self._identity.is_same(identity):
            return ANOTHER
        if replayed is None:
            return PRIMARY
        if self._is_ahead:
            return AHEAD
        if lsn is None:
            return self._unknown
        if lsn > replayed:
            return self._too_far_behind
        if self._readiness.reasons is NOT_READ or self._readiness.is_stale:
            return NOT_CHECKED
        return " ".join(self._readiness.reasons).replace("DATABASE_URL", "DATABASE_REPLICA_URL")

    def _tell(self, reason: str) -> None:
        self._is_usable = not reason
        if reason == self.reason:
            return
        if not reason:
            self._pool.expire()  # its connections may lead to another server
            if self._is_bad:
                log.warning("the replica is used again")
        elif reason != NOT_CHECKED:
            log.warning("the replica is not used: %s", reason)
        self.reason = reason
