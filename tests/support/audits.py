"""The audit that the app runs when it starts: once for each state of the catalogs, and not once for each test.

It takes PostgreSQL longer than everything else that a test needs. A test that changes anything that the audit reads
has another state, so it gets an audit of its own.
"""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from api.health import readiness
from db.audit import state
from db.audit.state import AS_INSTALLED

Errors = Callable[[asyncpg.Connection], Awaitable[list[readiness.Reason]]]

# As the product reads the state, but for what one database of the same template differs from another by; and who reads.
_OF_ANY_DATABASE = "select concat_ws(' ', tableoid, oid, xmin) from pg_database"
_OF_THIS_DATABASE = """
select concat_ws(' ', current_user, to_jsonb(d) - array['oid', 'datname', 'datfrozenxid', 'datminmxid'])
from pg_database as d where datname = current_database()
"""


def remember_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an app that starts on a database in which no error was found run the audit only if anything has changed."""
    sound: set[str] = set()
    errors: Errors = vars(readiness)["_errors"]
    query: str = vars(state)["_STATE"]
    assert query.count(_OF_ANY_DATABASE) == 1
    query = query.replace(_OF_ANY_DATABASE, _OF_THIS_DATABASE)

    async def remembered(connection: asyncpg.Connection) -> list[readiness.Reason]:
        await connection.execute(f"begin read only; {AS_INSTALLED}")
        catalogs: str = await connection.fetchval(query)
        await connection.execute("commit")
        if catalogs in sound:
            return []
        found = await errors(connection)
        if not found:
            sound.add(catalogs)
        return found

    monkeypatch.setattr(readiness, "_errors", remembered)
