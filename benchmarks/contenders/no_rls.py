"""Partywall without row-level security: a login that bypasses policies, so that `where user_id = …` alone isolates.

Everything is Partywall's own: middleware, handlers, statements, the session's three round trips. One thing is replaced:
the readiness check reads the database as often as ever, but passes whatever it finds. To refuse this login is its
purpose.
"""

import asyncpg

from api import main
from api.health import readiness

find_reasons = readiness.find_reasons


async def find_no_reasons(connection: asyncpg.Connection) -> list[str]:
    """Check, and pass."""
    await find_reasons(connection)
    return []


readiness.find_reasons = find_no_reasons
app = main.app
