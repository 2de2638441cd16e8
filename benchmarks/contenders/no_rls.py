"""Partywall without its walls: what `where user_id = …` in each query costs, by a login that bypasses policies.

Everything is Partywall's own: middleware, handlers, the door's three round trips. Two things are replaced:

- the door adds the user's id to each statement that a handler runs, as its last parameter: a `where` gets
  `user_id = $n and`, an insert gets the column. A statement that is anything else is an error, never run as it is;
- the gate looks at the database as often as ever, but opens whatever it finds: to refuse this login is its purpose.
"""

from collections.abc import Coroutine
from functools import cache
from typing import Any

import asyncpg

from api import main
from api.auth import caller as deps
from api.health import readiness as gate
from db.session import Session

INSERT = "insert into app.tasks as t ("
VALUES = " values ("


@cache
def with_user(query: str, parameter: int) -> str:
    """Return `query` for the rows of the user that is its parameter of this number."""
    if query.count("where ") == 1:
        return query.replace("where ", f"where user_id = ${parameter} and ")
    if query.count(INSERT) == query.count(VALUES) == 1:
        return query.replace(INSERT, f"{INSERT}user_id, ").replace(VALUES, f"{VALUES}${parameter}, ")
    raise ValueError(f"no place for the user's id in: {query}")


class FilteringSession(Session):
    """A door that names the user in each statement."""

    # Not coroutines themselves: each would be one more than Partywall has.
    def fetch(self, query: str, *arguments: object) -> Coroutine[Any, Any, list[asyncpg.Record]]:
        """Return all rows of `query` that are the user's."""
        return super().fetch(with_user(query, len(arguments) + 1), *arguments, self.user_id)

    def fetchval(self, query: str, *arguments: object) -> Coroutine[Any, Any, Any]:
        """Return the first column of the first row of `query` that is the user's."""
        return super().fetchval(with_user(query, len(arguments) + 1), *arguments, self.user_id)


find_reasons = gate.find_reasons


async def find_no_reasons(connection: asyncpg.Connection) -> list[str]:
    """Look, and think nothing of it."""
    await find_reasons(connection)
    return []


deps.Session = FilteringSession  # type: ignore[attr-defined]
gate.find_reasons = find_no_reasons
app = main.app
