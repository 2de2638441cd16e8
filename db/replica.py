"""How much of what was committed on the primary is on a standby: without writes, and whatever the clocks say.

The primary is asked for its time and its position in the write-ahead log, again and again. A standby that has replayed
one of these positions has everything that was committed before that time. So an idle primary causes no lag, and neither
a standby that has lost its primary nor a clock that is wrong can hide one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf
from operator import attrgetter
from time import monotonic
from typing import NamedTuple

import asyncpg

from db.connection import Connection
from db.pool import Pool

# Names with their schema, as these run outside of a transaction that could set search_path. A commit is acknowledged
# when it is flushed; without synchronous_commit, when it is inserted. now() is before the snapshot, the position last.
POSITION = """
select pg_catalog.now(), pg_catalog.pg_current_snapshot()::pg_catalog.text,
    pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8),
    pg_catalog.pg_wal_lsn_diff(
        case pg_catalog.current_setting('synchronous_commit')
            when 'off' then pg_catalog.pg_current_wal_insert_lsn() else pg_catalog.pg_current_wal_flush_lsn() end,
        '0/0')::pg_catalog.int8,
    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::pg_catalog.int8
"""
REPLAYED = """
select pg_catalog.pg_is_in_recovery(),
    coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::pg_catalog.int8, 0)
"""
DATABASE = """
select {system}, oid from pg_catalog.pg_database
where datname operator(pg_catalog.=) pg_catalog.current_database()
"""
SYSTEM = "(select system_identifier from pg_catalog.pg_control_system())"
NO_SYSTEM = "null::pg_catalog.int8"

_DRIFT = 0.001  # of a clock, in a second: more than NTP corrects
_UNKNOWN = timedelta(minutes=1)  # what this machine's clock may be wrong by, while the primary's is not known


class Identity(NamedTuple):
    """Which database it is: a standby has the one of its primary. `system` is None where the login may not ask."""

    system: int | None
    database: int

    def is_same(self, other: "Identity") -> bool:
        """Return whether both are copies of one database, as far as they say."""
        return self.database == other.database and (None in {self.system, other.system} or self.system == other.system)


class Position(NamedTuple):
    """What was committed before `time`, by the primary's clock, is in the write-ahead log up to `lsn`."""

    asked: float  # by time.monotonic()
    time: int  # microseconds since 1970
    timeline: str
    snapshot: str
    lsn: int
    inserted: int  # up to where the log was, in memory too: all that was committed is before that


class Positions:
    """The positions that the primary had within the time that a standby may lag."""

    def __init__(self, max_lag: float) -> None:
        """Keep those of `max_lag` seconds."""
        self._max_lag = max_lag
        self._kept: list[Position] = []
        self._last: Position | None = None

    def add(self, position: Position) -> None:
        """Add the newest one.

        If no transaction has ended since the last one, what is in the log since then is of transactions that are under
        way: it may not even be on the primary's disk until one ends. (What they write between a commit and the next
        position counts, until another one ends: that takes reads off the replica in vain, and shows nothing stale.)

        A commit of others without synchronous_commit is on the disk later, at the end of 3 wal_writer_delay at most.
        """
        last = self._last
        if last and (position.timeline != last.timeline or position.time <= last.time or position.lsn < last.lsn):
            self._kept.clear()  # another primary, or its clock was set
        elif last and position.snapshot == last.snapshot:
            position = position._replace(lsn=min(position.lsn, last.inserted), inserted=last.inserted)
        self._last = position
        self._kept.append(position)
        del self._kept[: self._first(position.asked)]

    @property
    def asked(self) -> float:
        """When the primary was last asked for its position, by time.monotonic()."""
        return self._last.asked if self._last else -inf

    def forget(self) -> None:
        """Forget them: the standby does not follow this primary."""
        self._kept.clear()

    def asked_of(self, replayed: int) -> float | None:
        """Return when the primary, by time.monotonic(), last had no more than a standby that has `replayed` so much.

        None if no such position is known.
        """
        count = bisect_right(self._kept, replayed, key=attrgetter("lsn"))
        return self._kept[count - 1].asked if count else None

    def required(self, now: float, bookmark: int = 0) -> int | None:
        """Return what a standby must have replayed so that at `now` it lags no more than it may.

        With a bookmark it has everything that was committed before that as well. None if no position is known by which
        to tell. `now` is by time.monotonic(): when the primary has last responded.
        """
        first = max(self._first(now), bisect_left(self._kept, bookmark, key=attrgetter("time")))
        return self._kept[first].lsn if first < len(self._kept) else None

    def bookmark(self) -> int:
        """Return a time that is after all commits of which somebody knows by now, by the primary's clock."""
        if self._last is None:
            return _microseconds(datetime.now(UTC) + _UNKNOWN)
        seconds = monotonic() - self._last.asked
        return self._last.time + int((seconds * (1 + _DRIFT) + _DRIFT) * 1_000_000)

    def _first(self, now: float) -> int:
        return bisect_left(self._kept, now - self._max_lag, key=attrgetter("asked"))


class Target(NamedTuple):
    """Where a read runs, if not on the primary: on a standby that has replayed `lsn`."""

    pool: Pool
    lsn: int
    on_failure: Callable[[], None]  # that a request has met


def has_replayed(lsn: int) -> str:
    """Return SQL that fails, with a division by zero, unless it runs on a standby that has replayed `lsn`.

    One name may lead to several servers, of which each lags for itself.
    """
    replayed = f"pg_last_wal_replay_lsn() >= '{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}'"
    return f"select 1 / coalesce(pg_is_in_recovery() and {replayed}, false)::int"


async def read_position(connection: Connection) -> Position:
    """Return the position of the primary. Raises asyncpg.ObjectNotInPrerequisiteStateError on a standby."""
    asked = monotonic()
    [(time, snapshot, timeline, lsn, inserted)] = await connection.fetch(POSITION)
    return Position(asked, _microseconds(time), timeline, snapshot, lsn, inserted)


async def read_replayed(connection: Connection) -> int | None:
    """Return up to where a standby has replayed the write-ahead log; None if it is no standby."""
    [(in_recovery, lsn)] = await connection.fetch(REPLAYED)
    return lsn if in_recovery else None


async def read_identity(connection: Connection) -> Identity:
    """Return which database this is."""
    try:
        [(system, database)] = await connection.fetch(DATABASE.format(system=SYSTEM))
    except asyncpg.InsufficientPrivilegeError:
        [(system, database)] = await connection.fetch(DATABASE.format(system=NO_SYSTEM))
    return Identity(system, database)


def _microseconds(time: datetime) -> int:
    return (time - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
