"""What is counted of the database: connections, phases of a request, work that was done twice.

A label has a fixed set of values: each combination stays in memory, and in Prometheus, for good.
"""

from time import perf_counter
from typing import Final, Literal

import asyncpg
from prometheus_client import Counter, Gauge, Histogram

from db import processes
from db.connect import sqlstate

registry = processes.registry

Phase = Literal["authenticate", "check_out", "query", "commit"]
Database = Literal["primary", "replica"]
Closed = Literal["idle", "old", "expired", "hung", "broken", "cancelled", "shutdown"]
Timing = dict[Phase, float]
"""How many seconds one request has spent in each phase."""

PHASES: Final[tuple[Phase, ...]] = ("authenticate", "check_out", "query", "commit")
CLOSED: Final[tuple[Closed, ...]] = ("idle", "old", "expired", "hung", "broken", "cancelled", "shutdown")
SQLSTATES = frozenset(
    each.sqlstate
    for each in vars(asyncpg).values()
    if isinstance(each, type) and issubclass(each, asyncpg.PostgresError)
)
"""The codes that PostgreSQL defines: a function may raise any other."""

phase_seconds = Histogram(
    "partywall_phase_duration_seconds",
    "Seconds that requests spent in each phase: authenticate, check_out (wait for a connection, or open one), query"
    " (with its begin and commit if all is sent at once), commit (or rollback, sent by itself).",
    ("phase",),
    # To read one row takes half a millisecond, and no transaction more than 14 s.
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)
pool_connections = Gauge(
    "partywall_pool_connections",
    "Connections to a database that serve requests: in_use, idle, or opening.",
    ("database", "state"),
    multiprocess_mode="livesum",
)
pool_size = Gauge(
    "partywall_pool_size",
    "Maximum number of these connections, of all workers together.",
    ("database",),
    multiprocess_mode="livesum",
)
pool_waiting = Gauge(
    "partywall_pool_waiting",
    "Requests that wait for a connection to be released.",
    ("database",),
    multiprocess_mode="livesum",
)
pool_opened = Counter("partywall_pool_opened", "Connections that were opened.", ("database",))
pool_open_failures = Counter(
    "partywall_pool_open_failures", "Connections that could not be opened, or led to a wrong server.", ("database",)
)
pool_closed = Counter(
    "partywall_pool_closed",
    "Connections that were closed: idle for too long, old, expired (after a migration, a failover or a pause), hung (no"
    " response, or a transaction that took too long), broken (by the server or the network), cancelled (with its"
    " request), or at the shutdown.",
    ("database", "reason"),
)
retries = Counter(
    "partywall_database_retries",
    'Work that was done once more, by the SQLSTATE of the error; "none" if the connection was lost without words; 22012'
    " if a replica was behind.",
    ("sqlstate",),
)
errors = Counter(
    "partywall_database_errors",
    'Requests that ended with a 5xx because of the database, by SQLSTATE; "none" without one: it cannot be reached, or'
    ' all connections are in use; "other" if PostgreSQL does not define it.',
    ("sqlstate",),
)
METRICS = (
    *(phase_seconds, pool_connections, pool_size, pool_waiting, pool_opened, pool_open_failures, pool_closed),
    *(retries, errors),
)

# There from the start, so that the first one is an increase. https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics
for _state in ("0A000", "22012", "40001", "40P01", "57P01", "none"):
    retries.labels(_state)
for _phase in PHASES:
    phase_seconds.labels(_phase)
for _state in ("40001", "53100", "53300", "55P03", "57014", "57P01", "none"):
    errors.labels(_state)


_observe = {phase: phase_seconds.labels(phase).observe for phase in PHASES}


def observe(phase: Phase, started: float, timing: Timing | None) -> None:
    """Count a phase that has `started`, by time.perf_counter(), and is over now; add it to a request's `timing`."""
    seconds = perf_counter() - started
    _observe[phase](seconds)
    if timing is not None:
        timing[phase] = timing.get(phase, 0.0) + seconds


def count_retry(error: BaseException) -> None:
    """Count work that is done once more because of `error`."""
    retries.labels(_label(error)).inc()


def count_error(error: BaseException) -> None:
    """Count a request that fails because of the database."""
    errors.labels(_label(error)).inc()


def _label(error: BaseException) -> str:
    state = sqlstate(error)
    if not state:
        return "none"
    return state if state in SQLSTATES else "other"


class PoolMetrics:
    """Those of one pool."""

    def __init__(self, database: Database) -> None:
        """Find them: that takes longer than to count."""
        self._size = pool_size.labels(database)
        self._waiting = pool_waiting.labels(database)
        self._in_use, self._idle, self._opening = (
            pool_connections.labels(database, state) for state in ("in_use", "idle", "opening")
        )
        self.opened = pool_opened.labels(database)
        self.open_failures = pool_open_failures.labels(database)
        self.closed = {reason: pool_closed.labels(database, reason) for reason in CLOSED}

    def show(self, *, size: int = 0, in_use: int = 0, idle: int = 0, opening: int = 0, waiting: int = 0) -> None:
        """Set the gauges."""
        self._size.set(size)
        self._in_use.set(in_use)
        self._idle.set(idle)
        self._opening.set(opening)
        self._waiting.set(waiting)
