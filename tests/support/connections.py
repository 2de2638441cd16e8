"""What tests of the pool and of sessions do with its connections."""

import asyncio
from collections.abc import Sequence

import psycopg

from db.connection import Connection
from db.pool import Pool
from db.session import Session
from tests.support.wire import Wire

# How a transaction is sent: see the fixture `way`.
AT_ONCE = "at once"
STEP_BY_STEP = "step by step"

WHO = "select app.current_user_id()"
BACKEND = "select pg_backend_pid()"


async def check_out(pool: Pool, number: int) -> list[Connection]:
    """Return so many connections at once, each for another user: one alone may not have them all."""
    return [await pool.acquire(f"user {n}") for n in range(number)]


def check_in(pool: Pool, connections: Sequence[Connection]) -> None:
    """Release connections, the last one last."""
    for connection in connections:
        pool.release(connection, clean=True)


async def next_of(pool: Pool) -> Connection:
    """Return the connection that the pool will check out next."""
    [connection] = connections = await check_out(pool, 1)
    check_in(pool, connections)
    return connection


async def kill(admin: psycopg.Connection, connection: Connection) -> None:
    """Let the server close a connection; wait until the connection knows."""
    admin.execute("select pg_terminate_backend(%s)", [connection.get_server_pid()])
    await until_closed(connection)


async def until_closed(connection: Connection) -> None:
    """Return when the connection is closed."""
    closed = asyncio.Event()
    connection.add_termination_listener(lambda _: closed.set())
    if not connection.is_closed():
        await asyncio.wait_for(closed.wait(), 10)


async def freeze_at(moment: str, wire: Wire, session: Session) -> None:
    """Run a transaction; the network freezes before it begins, before its second query or before its commit."""
    if moment == "begin":
        wire.freeze()
    async with session.transaction() as transaction:
        await transaction.fetchval(WHO)
        if moment == "query":
            wire.freeze()
        await transaction.fetchval(WHO)
        if moment == "commit":
            wire.freeze()
