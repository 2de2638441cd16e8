"""A bounded LIFO connection pool.

asyncpg's own took a sixth of a request that reads one row: a task and two timers for each checkout, a proxy around each
call. A session needs less: it alone checks connections out, for one transaction each, and it knows what a pool cannot
know, whether the server has confirmed the end of that transaction.
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

from db.connect import DatabaseUnavailableError, connect
from db.connection import Connection
from db.metrics import Closed, PoolMetrics, count_retry
from db.turns import Turns

log = logging.getLogger("partywall.pool")

Check = Callable[[Connection], Awaitable[None]]

# Seconds.
ACQUIRE_TIMEOUT = 5.0  # until a caller gives up waiting for a connection to be released
CONNECT_TIMEOUT = 5.0  # until opening one is given up
BEGIN_TIMEOUT = 3.0  # until a checked out one is closed on which no transaction has begun, which is nothing to wait for
CHECKOUT_TIMEOUT = 14.0  # until a transaction is over, with all of this: longer than statement_timeout
CHECK_INTERVAL = 0.5  # between two checks of these deadlines. A timer for each of them was a tenth of a request
READ_FIRST = 0.01  # before a check, to read what came while this process was busy: uvloop runs timers before it reads
USED_LATELY = 30.0  # how long a connection can be idle in any network: the shortest timeouts known are 60 seconds
CANCEL_TIMEOUT = 1.0  # for asyncpg to cancel on the server what nobody waits for any more, before its connection closes
EXPIRY_INTERVAL = 1.0  # between two expiries because of what single connections met, so that they are no flood
JITTER = 0.1  # the part of its lifetime by which a connection may end earlier, so that they do not end all at once


@dataclass(slots=True, eq=False)
class _Member:
    """A connection of the pool. Times are those of the event loop."""

    connection: Connection
    generation: int
    expires: float
    user: str = ""  # on whose behalf it was checked out
    since: float = 0  # when it was checked out, had still sent nothing, or became idle
    deadline: float = math.inf  # of its transaction
    is_new: bool = True  # opened for the caller who has it
    was_idle: float = 0  # for how long, when it was checked out
    has_begun: bool = False  # its transaction, as a check of the deadlines has seen
    is_hung: bool = False  # closed, because it did not respond


class Pool:
    """Checks connections out. It sends nothing of its own: no query that tests a connection or resets it."""

    def __init__(
        self,
        url: str,
        *,
        size: int,
        statement_cache_size: int = 100,
        pipelining: bool = True,
        checkout_timeout: float | None = None,
        idle_lifetime: float = math.inf,
        max_lifetime: float = math.inf,
    ) -> None:
        """Open at most `size` connections to `url`, the first one when it is asked for.

        Times are in seconds. A transaction may take `checkout_timeout`, CHECKOUT_TIMEOUT by default: waiting for a
        connection and opening it is part of that. A connection is closed when it was idle for `idle_lifetime`, or when
        it is free after `max_lifetime`.
        """
        self.size = size
        self.responded_at: float | None = None  # when the server has last ended a transaction, by the loop's clock
        self._checkout_timeout = checkout_timeout
        self.connect_timeout = CONNECT_TIMEOUT
        self.begin_timeout = BEGIN_TIMEOUT
        self.check: Check | None = None  # a new connection is used if this raises nothing
        self.metrics = PoolMetrics("primary")
        self._idle_lifetime = idle_lifetime
        self._max_lifetime = max_lifetime
        self._connect = partial(
            connect,
            url,
            application_name="partywall",
            statement_cache_size=statement_cache_size,
            pipelining=pipelining,
        )
        self._loop = asyncio.get_running_loop()
        self._turns = Turns(size)
        self._generation = 0  # of the connections that are opened now: those of earlier ones have expired
        self._expired_at = -math.inf
        self._idle: list[_Member] = []  # of this generation, the one that was released last at the end
        self._checked_out: dict[Connection, _Member] = {}
        self._closing: set[Connection] = set()
        self._opening = 0
        self._why_expired: Closed = "expired"

    async def __aenter__(self) -> Self:
        """Return itself."""
        self._check_deadlines()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections; those that are checked out, when they are released."""
        self._timer.cancel()
        self._why_expired = "shutdown"
        self.expire()
        for connection in [*self._closing]:
            self._close(connection)
        self.metrics.show()

    def show(self) -> None:
        """Set the gauges of the metrics to what they are now."""
        self.metrics.show(
            size=self.size,
            in_use=len(self._checked_out),
            idle=len(self._idle),
            opening=self._opening,
            waiting=self._turns.waiting,
        )

    def deadline(self) -> float:
        """Return when a transaction that is asked for now has to be over, in the time of the event loop."""
        return self._loop.time() + (self._checkout_timeout or CHECKOUT_TIMEOUT)

    async def acquire(self, user: str, deadline: float | None = None) -> Connection:
        """Check a connection out on behalf of a user, with no transaction open. At the deadline it is closed.

        Raises DatabaseUnavailableError, TooManyRequestsError.
        """
        deadline = deadline or self.deadline()
        await self._turns.take(user, seconds=ACQUIRE_TIMEOUT)
        try:
            return await self._check_out(user, deadline)
        except BaseException:
            self._turns.give_back(user)
            raise

    def was_used_lately(self, connection: Connection) -> bool:
        """Return whether this checked out connection is new, or was used so lately that it will not have ended."""
        return self._checked_out[connection].was_idle < USED_LATELY

    async def replace(self, connection: Connection, error: Exception) -> Connection:
        """Check another connection out instead of one on which `error` was raised before anything was done.

        Raises DatabaseUnavailableError if it hung, or was opened just now: another one would do no better.
        """
        lost = self._checked_out.pop(connection)
        self._drop(lost, "broken")
        if lost.is_hung or lost.is_new:
            self._turns.give_back(lost.user)
            raise DatabaseUnavailableError(str(error)) from error
        count_retry(error)
        try:
            return await self._check_out(lost.user, lost.deadline)
        except BaseException:
            self._turns.give_back(lost.user)
            raise

    def release(self, connection: Connection, *, clean: bool, why: Closed = "broken") -> None:
        """Take a connection back. Keep it if it is `clean`: its last response has come, and no transaction is open.

        The connection's own transaction status does not tell: it lags until a pending response is read. `why` it is
        not clean is for the metrics.
        """
        member = self._checked_out.pop(connection)
        if not clean:
            self._count_closed(member, why)
            self._closing.add(connection)
            self._loop.call_later(CANCEL_TIMEOUT, self._close, connection)
        elif member.generation < self._generation:
            self._drop(member, self._why_expired)
        elif connection.is_closed() or not connection.is_idle():
            self._drop(member, "broken")
        else:
            member.since = self.responded_at = self._loop.time()
            member.is_new = False
            self._idle.append(member)
        self._turns.give_back(member.user)

    def expire(self) -> None:
        """Close all connections; those that are checked out or being opened, when they are released."""
        self._generation += 1
        self._expired_at = self._loop.time()
        while self._idle:
            self._drop(self._idle.pop(), self._why_expired)

    def end_waits(self) -> None:
        """Raise DatabaseUnavailableError in all who wait for a connection."""
        self._turns.end_waits()

    def distrust(self, connection: Connection) -> None:
        """Expire the connections as old as this checked out one, of whose server they say the same."""
        self._distrust(self._checked_out[connection])

    def _distrust(self, member: _Member) -> None:
        if member.generation == self._generation and self._loop.time() - self._expired_at >= EXPIRY_INTERVAL:
            self.expire()

    async def _check_out(self, user: str, deadline: float) -> Connection:
        member = self._last_used() or await self._open(deadline)
        member.user = user
        now = self._loop.time()
        member.was_idle = 0 if member.is_new else now - member.since
        member.since = now
        member.deadline = deadline
        member.has_begun = False
        self._checked_out[member.connection] = member
        return member.connection

    async def _open(self, deadline: float) -> _Member:
        generation = self._generation  # of now: it may expire while it is being opened
        connection = await self._connect_and_count(min(self.connect_timeout, deadline - self._loop.time()))
        lifetime = self._max_lifetime * (1 - JITTER * random.random())  # noqa: S311 - no secret
        return _Member(connection, generation, self._loop.time() + lifetime)

    async def _connect_and_count(self, seconds: float) -> Connection:
        self._opening += 1
        try:
            connection: Connection = await self._connect(seconds=seconds)
            if self.check:
                await _require(self.check, connection)
        except Exception:
            self.metrics.open_failures.inc()
            raise
        finally:
            self._opening -= 1
        self.metrics.opened.inc()
        return connection

    def _last_used(self) -> _Member | None:
        now = self._loop.time()
        while self._idle:
            member = self._idle.pop()
            if not (why := self._why_ended(member, now)):
                return member
            self._drop(member, why)
        return None

    def _why_ended(self, member: _Member, now: float) -> Closed | None:
        if member.connection.is_closed():
            return "broken"
        if now >= member.expires:
            return "old"
        return "idle" if now - member.since >= self._idle_lifetime else None

    def _tick(self) -> None:
        self._timer = self._loop.call_later(READ_FIRST, self._check_deadlines)

    def _check_deadlines(self) -> None:
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._tick)
        now = self._loop.time()
        self._turns.end_late_waits()
        for member in [*self._checked_out.values()]:
            if not member.connection.is_closed() and self._is_overdue(member, now):
                self._hang_up(member)
        for member in [*self._idle]:
            if why := self._why_ended(member, now):
                self._idle.remove(member)
                self._drop(member, why)

    def _is_overdue(self, member: _Member, now: float) -> bool:
        if member.connection.is_to_begin():
            member.since = now
        else:
            member.has_begun = member.has_begun or not member.connection.awaits_begin()
        begins_by = member.since + self.begin_timeout
        return now > (member.deadline if member.has_begun else min(member.deadline, begins_by))

    def _hang_up(self, member: _Member) -> None:
        """Close a connection that does not respond. After a failover, none of its age will."""
        self._drop(member, "hung")
        member.is_hung = True
        log.warning("a transaction took too long, or the database does not respond")
        self._distrust(member)

    def _drop(self, member: _Member, why: Closed) -> None:
        self._count_closed(member, why)
        member.connection.terminate()

    def _count_closed(self, member: _Member, why: Closed) -> None:
        if not member.is_hung:  # else it is counted
            self.metrics.closed[why].inc()

    def _close(self, connection: Connection) -> None:
        self._closing.discard(connection)
        connection.terminate()


async def _require(check: Check, connection: Connection) -> None:
    """Return if the check of a new connection raises nothing. Raises DatabaseUnavailableError."""
    try:
        async with asyncio.timeout(BEGIN_TIMEOUT):
            await check(connection)
    except BaseException as error:
        connection.terminate()
        if not isinstance(error, Exception):
            raise
        raise DatabaseUnavailableError(str(error) or type(error).__name__) from error
