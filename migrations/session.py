"""Whether a run of the migrations has a PostgreSQL session of its own, which its role and its lock are for."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import asyncpg

from db.connect import DatabaseUnavailableError
from db.connection import Connection
from db.pooler import leads_to_postgresql, runs_on

OTHERS = 3  # clients that are tried beside ours: one may be given another server connection by chance
TIMEOUT = 2.0  # seconds until it counts that the pooler has no connection for another client

NOT_OWN = (
    "MIGRATION_DATABASE_URL or else DATABASE_URL leads to a pooler in transaction mode, where the lock and the role of"
    " a migration would be left to other clients: use the URL without the pooler (docs/scaling.md says which that is)."
    " Nothing was done"
)


async def is_own(connection: Connection, open_another: Callable[[], Awaitable[Connection]]) -> bool:
    """Return whether all transactions on `connection` run on one server connection, which no other client is given.

    `open_another` opens a connection as another client would. In transaction mode a pooler runs its transaction on the
    server connection that ours was on, or that one is busy with somebody else's, or our next one is on another. Raises
    asyncpg.PostgresError if there are no transactions at all: a pooler in statement mode.
    """
    if await leads_to_postgresql(connection):
        return True
    async with connection.transaction():
        process = await connection.fetchval("select pg_catalog.pg_backend_pid()")
    others: list[Connection] = []
    try:
        for _ in range(OTHERS):
            async with asyncio.timeout(TIMEOUT):
                others.append(await open_another())
                if not await _stays(connection, process, others[-1]):
                    return False
    except (TimeoutError, DatabaseUnavailableError, asyncpg.PostgresError):
        return True  # there is no connection for others while we have ours
    finally:
        for other in others:
            other.terminate()
    return True


async def _stays(connection: Connection, process: int, other: Connection) -> bool:
    """Return whether the server process is still that of `connection`, and idle, while `other` has a transaction."""
    mark = secrets.token_hex(8)
    if not await runs_on(connection, process, mark):
        return False
    await other.execute("begin")
    idle = await other.execute(
        f"select from pg_catalog.pg_stat_activity where pid operator(pg_catalog.=) {process}"
        f" and (state operator(pg_catalog.=) 'disabled' or query like '%/* {mark} */')"
    )
    return idle == "SELECT 1" and not await runs_on(other, process) and await runs_on(connection, process)
