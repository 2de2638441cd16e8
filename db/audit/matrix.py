"""The matrix of `--prove`: every attempt in a workspace, by everybody who can be something to it."""

from collections.abc import AsyncIterator, Iterable, Mapping

import asyncpg

from db.audit.attempts import MISSING_TENANT, REFUSED_BY_CITUS, Attempt, Outcome, Try, is_refused_by_citus, reached
from db.audit.cases import Case, OnTable, Rights, on_functions
from db.audit.rows import Table
from db.audit.seeds import Seeds
from db.audit.trial import Trial
from db.audit.workspaces import RELATIONS, SETTING, Caller, Workspaces

RIGHTS = 'select "table", reads, lists, inserts, updates, deletes from audit.member_rights'
"""The lines of audit.member_rights, as a table and the fields of `Rights`."""

_AFTER_THE_POLICIES = (asyncpg.IntegrityConstraintViolationError, asyncpg.RaiseError, asyncpg.QueryCanceledError)

# The worst comes first.
_ORDER = {"blocked": (False, None, True), "allowed": (True, None, False)}


class Matrix:
    """Makes the attempts of the matrix."""

    def __init__(
        self, trial: Trial, seeds: Seeds, places: Workspaces, declared: Mapping[str, Rights], role: str
    ) -> None:
        """Make them as `role`, in workspaces that exist."""
        self._trial, self._seeds, self._places, self._declared, self._role = trial, seeds, places, declared, role

    async def rows(self, tables: Iterable[Table]) -> AsyncIterator[list[Attempt]]:
        """Yield what came of each case: an attempt for each relation for which it makes sense."""
        for table in tables:
            if not table.child_of and (table.name in self._seeds.tenants or table.name in self._declared):
                on_table = OnTable(table, self._rights_on(table), self._places, self._seeds.rows)
                has_none = self._places.empty == await self._seeds.without_rows(table, self._role, self._places.tenants)
                for case in on_table.cases(await self._seeds.constant(table, self._role), empty=has_none):
                    yield await self._row(case, table)
        for case in on_functions(self._places):
            yield await self._row(case, None)

    def _rights_on(self, table: Table) -> Rights:
        """Return what is declared; of a table without a line, only for what was granted."""
        if table.name in self._declared:
            return self._declared[table.name]
        granted = (table.names("can_select"), (), table.can_insert, table.names("can_update"), table.can_delete)
        return Rights(*(role if may else None for role, may in zip(self._declared["*"], granted, strict=True)))

    async def _row(self, case: Case, table: Table | None) -> list[Attempt]:
        attempts = []
        for relation in RELATIONS:
            expected = "allowed" if relation in case.allowed else "blocked"
            callers = (caller for caller in self._places.callers if caller.relation == relation)
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
        if unbounded := self._trial.is_unbounded(table, each):
            return unbounded
        context = self._seeds.session(caller.user, {SETTING: caller.workspace})
        try:
            status = await self._trial.run(self._role, context, each)
        except asyncpg.PostgresError as error:
            if is_refused_by_citus(table, error):
                return Outcome(f"{REFUSED_BY_CITUS}: {error.args[0]}", blocked=True)
            return Outcome(str(error.args[0]), _is_refusal(case, each, error, expected))
        return Outcome(status, int(status.rpartition(" ")[2]) <= each.own)


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
