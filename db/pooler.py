"""Whether a connection leads to PostgreSQL or to a pooler, and what that does to prepared statements.

In transaction mode a pooler may run each transaction on another server connection. A statement that was prepared on
one does not exist on the next, unless the pooler keeps track: PgBouncer from 1.21 on, if `max_prepared_statements` is
not 0.
"""

from asyncpg import Connection

_NAME = "partywall_probe"
_HAS_SAME_NAME = "select exists (select from pg_catalog.pg_prepared_statements where name = 'partywall_probe')"


async def holds_prepared_statements(connection: Connection) -> bool:
    """Return whether a prepared statement is still there in the next transaction on `connection`.

    Of a pooler that keeps no track, this is false in session mode too: the two modes look the same.
    """
    # A pooler makes up the number by which it cancels for a client. This is no prepared statement, so it always works.
    same_process = f"select where pg_catalog.pg_backend_pid() = {connection.get_server_pid()}"
    if await connection.execute(same_process) == "SELECT 1":
        return True
    await connection.execute("begin")  # one server connection until the end
    statement = await connection.prepare(_HAS_SAME_NAME, name=_NAME)
    has_same_name: bool = await statement.fetchval()
    # A pooler that keeps track gives a name of its own, and knows what to do with this one.
    await connection.execute(f"deallocate {_NAME}; rollback" if has_same_name else "rollback")
    return not has_same_name
