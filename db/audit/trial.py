"""How `--prove` runs a statement and takes it back."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import asyncpg

from db.audit.attempts import Outcome, Try
from db.audit.rows import Table
from db.audit.seeds import Context, Transaction, acting

_BOUNDED = "set local statement_timeout = '2s'"  # what takes longer changes rows: it is cancelled, and not blocked


Begin = Callable[[], AbstractAsyncContextManager[Transaction]]
"""Begins a transaction of app_api, which is committed at the end of the block."""


class Trial:
    """Runs statements. Each is rolled back."""

    def __init__(self, begin: Begin, *, counts: bool) -> None:
        """Use what `begin` returns for a statement. `counts`: whether PostgreSQL counts the rows that it changes."""
        self._begin = begin
        self._counts = counts

    def is_unbounded(self, table: Table | None, each: Try) -> Outcome | None:
        """Return why a write without a condition is not tried, if nothing would stop it after one row."""
        if each.counters and not self._counts:
            return Outcome("not tried, as track_counts is off and nothing would bound it", None)
        if each.counters and table and table.leaves is None:
            return Outcome("not tried, as nothing bounds it on a foreign table", None)
        return None

    async def run(self, role: str, context: Context, each: Try) -> str:
        """Return the status of a statement, such as "DELETE 1". Raises what asyncpg raises."""
        async with self._begin() as transaction, acting(transaction, role, context):
            if not each.first:
                return await _execute(transaction, each)
            with suppress(asyncpg.PostgresError):
                async with acting(transaction, role, context, keep=True):
                    await transaction.execute(each.first)
            # In a savepoint of its own: after an error Citus rolls back to the last one that was set, and no further.
            async with acting(transaction, role, context):
                return await _execute(transaction, each)


async def _execute(transaction: Transaction, each: Try) -> str:
    values = [*each.values.values()]
    if each.counters:
        [[before]] = await transaction.fetch(f"select {each.counters}::text")
        values.append(before)
    elif each.is_blind:
        await transaction.execute(_BOUNDED)
    return await transaction.execute(each.statement, *values)
