"""The matrix of `--prove`: every attempt in a workspace, by everybody who can be something to it."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple

import asyncpg

from db.audit.attempts import (
    MISSING_TENANT,
    NO_CALLER,
    REFUSED_BY_CITUS,
    Attempt,
    Outcome,
    Try,
    is_refused_by_citus,
    reached,
)
from db.audit.cases import Case, OnTable, Rights
from db.audit.rows import USER, Table
from db.audit.seeds import Seeds
from db.audit.trial import Trial
from db.audit.workspaces import RELATIONS, SETTING, Caller, Workspaces

RIGHTS = 'select "table", reads, lists, inserts, updates, deletes from audit.member_rights'
"""The lines of audit.member_rights, as a table and the fields of `Rights`."""

_AFTER_THE_POLICIES = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.RaiseError,
    asyncpg.SerializationError,  # of app.keep_an_owner()
    asyncpg.QueryCanceledError,  # of a write that nothing else bounds
)

# The worst comes first.
_ORDER = {"blocked": (False, None, True), "allowed": (True, None, False)}


class Actors(NamedTuple):
    """Who makes the attempts, and how."""

    trial: Trial
    role: str
    places: Workspaces
    settings: Sequence[str]
    """All that say for whom a session acts."""

    async def row(self, case: Case, table: Table | None) -> list[Attempt]:
        """Return what came of a case: an attempt for each relation for which it makes sense."""
        attempts = []
        for relation in RELATIONS:
            expected = "allowed" if relation in case.allowed else "blocked"
            callers = (caller for caller in self.places.callers if caller.relation == relation)
            outcomes = [
                await self._outcome(case, table, caller, each, expected)
                for caller in callers
                for each in _tries(case, caller)
            ]
            if outcomes:
                text, blocked = min(outcomes, key=lambda each: _ORDER[expected].index(each.blocked))
                if text.startswith(REFUSED_BY_CITUS):
                    expected = "blocked"
                attempts.append(Attempt(case.object, case.attempt, text, blocked, relation, expected))
        return attempts

    async def _outcome(self, case: Case, table: Table | None, caller: Caller, each: Try, expected: str) -> Outcome:
        if unbounded := self.trial.is_unbounded(table, each):
            return unbounded
        context = {**dict.fromkeys(self.settings, NO_CALLER), USER: caller.user, SETTING: caller.workspace}
        try:
            status = await self.trial.run(self.role, context, each)
        except asyncpg.PostgresError as error:
            if is_refused_by_citus(table, error):
                return Outcome(f"{REFUSED_BY_CITUS}: {error.args[0]}", blocked=True)
            return Outcome(str(error.args[0]), _is_refusal(case, each, error, expected))
        return Outcome(status, int(status.rpartition(" ")[2]) <= each.own)


async def on_tables(
    actors: Actors, seeds: Seeds, tables: Iterable[Table], declared: Mapping[str, Rights]
) -> AsyncIterator[list[Attempt]]:
    """Yield what came of each case on a table that has rows, or that is declared to have some."""
    for table in tables:
        if not table.child_of and (table.name in seeds.tenants or table.name in declared):
            cases = OnTable(table, _rights_on(table, declared), actors.places, seeds.rows)
            has_none = actors.places.empty == await seeds.without_rows(table, actors.role, actors.places.tenants)
            for case in cases.cases(await seeds.constant(table, actors.role), empty=has_none):
                yield await actors.row(case, table)


def _rights_on(table: Table, declared: Mapping[str, Rights]) -> Rights:
    """Return what is declared; of a table without a line, only for what was granted."""
    if table.name in declared:
        return declared[table.name]
    granted = (table.names("can_select"), (), table.can_insert, table.names("can_update"), table.can_delete)
    return Rights(*(role if may else None for role, may in zip(declared["*"], granted, strict=True)))


def _tries(case: Case, caller: Caller) -> list[Try]:
    return [each if isinstance(each, Try) else Try(case.attempt, None, each) for each in case.tries(caller)]


def _is_refusal(case: Case, each: Try, error: asyncpg.PostgresError, expected: str) -> bool | None:
    """Return whether an error means that the attempt was blocked; None: it could not be made.

    What only a constraint or a trigger has stopped was not.
    """
    if isinstance(error, case.refusals):
        return True
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return not (each.is_blind and reached(each, error))
    if each.statement.startswith("insert") and isinstance(error, MISSING_TENANT):
        return True
    return False if expected == "blocked" or isinstance(error, _AFTER_THE_POLICIES) else None
