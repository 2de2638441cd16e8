"""What the metrics say of now: set when somebody asks, and again and again for a worker that is not the one asked."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from api.health.availability import Availability
from api.health.readiness import Readiness
from api.health.replica import Replica
from api.observability import metrics
from db.pool import Pool
from db.processes import shared

INTERVAL = 0.5  # seconds


@asynccontextmanager
async def showing_gauges(
    pool: Pool, database: Availability, readiness: Readiness, replica: Replica | None
) -> AsyncIterator[Callable[[], None]]:
    """Set the gauges again and again until the end; give what sets them now."""
    shown: set[str] = set()

    def show() -> None:
        pool.show()
        metrics.database_up().set(database.is_available)
        metrics.database_read_only.set(database.read_only)
        if replica:
            replica.show()
        reasons = {reason.code for reason in readiness.reasons}
        if not (database.is_available or (replica and not replica.reason)):
            reasons.add("database_unavailable")
        metrics.ready().set(not reasons)
        shown.update(reasons)
        for reason in shown:
            metrics.not_ready.labels(reason).set(reason in reasons)

    async def repeat() -> None:
        while True:
            show()
            await asyncio.sleep(INTERVAL)

    repeating = asyncio.create_task(repeat())
    try:
        yield show
    finally:
        repeating.cancel()
        for reason in shown:
            metrics.not_ready.labels(reason).set(0)
        if shared:
            shared.leave()
