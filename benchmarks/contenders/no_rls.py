"""Partywall without row-level security: a login that bypasses policies, so that `where user_id = …` alone isolates.

Middleware, handlers, statements and the session's round trips are Partywall's own. One thing is replaced: the
readiness check runs as often as ever, but its findings are ignored, because it would refuse this login.
"""

import asyncpg

from api import main
from api.health import readiness

find_reasons = readiness.find_reasons


async def find_no_reasons(connection: asyncpg.Connection) -> list[readiness.Reason]:
    """Run the check, and ignore what it finds."""
    await find_reasons(connection)
    return []


readiness.find_reasons = find_no_reasons
# While the catalogs do not change, only the login is checked.
readiness.WRONG_LOGIN = f"select * from ({readiness.WRONG_LOGIN}) as finding where false"
app = main.app
