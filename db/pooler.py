"""Whether a connection leads to PostgreSQL or to a pooler, and what that does to prepared statements.

In transaction mode a pooler may run each transaction on another server connection. A statement that was prepared on
one does not exist on the next, unless the pooler keeps track: PgBouncer from 1.21 on, if `max_prepared_statements` is
not 0.
"""

import logging
from collections.abc import Awaitable, Callable

from db.connection import Connection

log = logging.getLogger("partywall.connect")

_NAME = "partywall_probe"
_HAS_SAME_NAME = (
    "select exists (select from pg_catalog.pg_prepared_statements where name operator(pg_catalog.=) 'partywall_probe')"
)

_without_statements: set[str] = set()  # URLs of poolers that cannot hold prepared statements, found out once


async def open_caching(url: str, open_with: Callable[[int], Awaitable[Connection]], cache_size: int) -> Connection:
    """Return what `open_with` opens, given how many statements to cache: `cache_size`, or 0 where none can be held."""
    if cache_size and url not in _without_statements:
        connection = await open_with(cache_size)
        if await _stays(connection):
            return connection
        if url not in _without_statements:  # by another connection, meanwhile
            log.warning("a pooler that cannot hold prepared statements: none is cached")
        _without_statements.add(url)
    return await open_with(0)


async def _stays(connection: Connection) -> bool:
    """Return whether the connection can stay as it is; else it is closed."""
    holds = False
    try:
        holds = await holds_prepared_statements(connection)
    finally:
        if not holds:
            connection.terminate()
    return holds


async def holds_prepared_statements(connection: Connection) -> bool:
    """Return whether a prepared statement is still there in the next transaction on `connection`.

    Of a pooler that keeps no track, this is false in session mode too: the two modes look the same.
    """
    if await leads_to_postgresql(connection):
        return True
    await connection.execute("begin")  # one server connection until the end
    statement = await connection.prepare(_HAS_SAME_NAME, name=_NAME)
    has_same_name: bool = await statement.fetchval()
    # A pooler that keeps track gives a name of its own, and knows what to do with this one.
    await connection.execute(f"deallocate {_NAME}; rollback" if has_same_name else "rollback")
    return not has_same_name


async def leads_to_postgresql(connection: Connection) -> bool:
    """Return whether there is no pooler in between: one makes up the number by which it cancels for a client."""
    return await runs_on(connection, connection.get_server_pid())


async def runs_on(connection: Connection, process: int, comment: str = "") -> bool:
    """Return whether PostgreSQL serves the next transaction on `connection` by this process."""
    # This is no prepared statement, so it always works.
    same = f"select where pg_catalog.pg_backend_pid() operator(pg_catalog.=) {process} /* {comment} */"
    status: str = await connection.execute(same)
    return status == "SELECT 1"
