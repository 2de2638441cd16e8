"""How `--prove` makes the attempts.

Two synthetic tenants each get a row in every tenant table and try every command on the other's. Their statements name
these two, so that a missing policy affects their rows and no real ones. A third tenant, who has no row, and a session
without a caller try every command on whatever is there, and change one row at most. Then all of it is tried again as
each role that app_api can become.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext

import asyncpg

from db.audit import Finding, fingerprint_of
from db.audit.attempts import NO_CALLER, Attempt, Outcome, Try, failure, on_any_row, on_rows, with_new_rows
from db.audit.cases import Rights, on_functions
from db.audit.catalog import TABLES, tables_of
from db.audit.matrix import RIGHTS, Actors, on_tables
from db.audit.rows import Table
from db.audit.seeds import API, Seeds, Transaction, acting
from db.audit.trial import Begin, Trial
from db.audit.workspaces import SETTING, Workspaces, make, run_in
from db.connect import OWN_NAMES_ONLY
from db.refusals import constraint_of

# app_api first, then who else it can be. Since PostgreSQL 16 not every member may SET ROLE.
_ROLES = """
select role::oid::text, role::text from audit.api_roles
where pg_has_role('app_api', role,
    case when current_setting('server_version_num')::int < 160000 then 'member' else 'set' end)
order by role::text <> 'app_api', role::text
"""
_KINDS = 'select "column", setting from audit.contexts'
# After statements that ran on all shards at the same time it would refuse others in the same transaction.
_ON_CITUS = "set local citus.multi_shard_modify_mode = 'sequential'"
_PROVEN = ("prove", "error", "Not blocked")
_REFUSED = ("prove", "warning", "Blocked, and should be allowed")
_UNTRIED = ("prove_untried", "warning", "Could not be tried")
_REMEDIATION = "-- See who may do what: select * from audit.policies;"
_DECLARED = f"{_REMEDIATION} what members should be able to do is declared in db/audit/schema/member_rights.sql"

Outcomes = dict[str, Outcome]
"""By attempt."""

Places = Workspaces | asyncpg.PostgresError | None
"""The workspaces, or why there are none; None: they are still to be made."""


class Prover:
    """Makes the attempts and keeps what came of them."""

    def __init__(self, user: str, places: Places = None) -> None:
        """Let `user` act for every tenant that is not a user. `places` are the workspaces of `user`, if they exist."""
        self._user = user
        self._places = places
        self.attempts: list[Attempt] = []
        self.matrix: list[Attempt] = []
        self.findings: list[Finding] = []

    async def try_functions(self, begin: Begin) -> None:
        """Try the functions in workspaces that exist, each time in a transaction of its own: before all others.

        On Citus a function that is SECURITY DEFINER has connections of its own to the workers, and would wait there
        for the transaction that calls it.
        """
        if isinstance(self._places, Workspaces):
            actors = Actors(Trial(begin, counts=False), API, self._places, [])
            for case in on_functions(self._places):
                self._record_row(await actors.row(case, None))

    async def run(self, transaction: Transaction) -> None:
        """Try everything else in a transaction of app_api, which its owner rolls back. Raises what asyncpg raises."""
        self._transaction = transaction
        # Something waits for a lock only where a hole lets it reach a row, or TRUNCATE is permitted.
        await self._transaction.execute(f"{OWN_NAMES_ONLY}; set local lock_timeout = '1s'")
        [[counts]] = await self._transaction.fetch("select current_setting('track_counts')")
        self._trial = Trial(lambda: nullcontext(transaction), counts=counts == "on")
        roles = [(name, await self._tables(oid)) for oid, name in await self._transaction.fetch(_ROLES)]
        [(api, tables), *others] = roles
        if any(table.is_distributed for table in tables):
            await self._transaction.execute(_ON_CITUS)
        self._kinds = await self._transaction.fetch(_KINDS)
        self._seeds = Seeds(self._transaction, tables, [setting for _, setting in self._kinds], self._user)
        declared = {name: Rights(*rights) for name, *rights in await self._transaction.fetch(RIGHTS)}
        places = await self._workspaces(tables)
        await self._insert_rows(tables, api)
        outcomes = {table.name: await self._attack(table, api) for table in tables}
        for table in tables:
            self._record_all(table.name, outcomes[table.name])
        for role, theirs in others:
            await self._try_again(role, theirs, outcomes)
        if places:
            actors = Actors(self._trial, api, places, [setting for _, setting in self._kinds])
            of_workspaces = [table for table in tables if table.setting == SETTING]
            async for row in on_tables(actors, self._seeds, of_workspaces, declared):
                self._record_row(row)
            for case in () if self._places else on_functions(places):
                self._record_row(await actors.row(case, None))

    def record(self, table: str, attempt: str, outcome: str, *, blocked: bool | None) -> None:
        """Keep an attempt, and a finding unless it was blocked."""
        self.attempts.append(Attempt(table, attempt, outcome, blocked))
        if not blocked:
            self._report(_PROVEN if blocked is False else _UNTRIED, table, attempt, outcome)

    def _report(self, kind: tuple[str, str, str], table: str, attempt: str, outcome: str, row: str = "") -> None:
        name, level, verdict = kind
        detail, key = f"{verdict}: {attempt} ({outcome}).", f"{name}:{table}:{attempt}{row}"
        remediation = _DECLARED if row else _REMEDIATION
        self.findings.append(Finding(name, level, table, detail, remediation, key, fingerprint_of(detail)))

    async def _workspaces(self, tables: Sequence[Table]) -> Workspaces | None:
        """Return the workspaces, if any table has rows of one; make them if they do not exist."""
        of_workspaces = [table for table in tables if table.setting == SETTING]
        if not of_workspaces:
            return None
        places = self._places or await self._make()
        if isinstance(places, asyncpg.PostgresError):
            self._has_no_row(of_workspaces[0], f"no workspace could be made: {places.args[0]}", _REMEDIATION)
            return None
        self._seeds.real[SETTING] = places.tenants
        return places

    async def _make(self) -> Workspaces | asyncpg.PostgresError:
        try:
            async with acting(self._transaction, API, self._seeds.session(NO_CALLER), keep=True):
                return await make(run_in(self._transaction), self._user)
        except asyncpg.PostgresError as error:
            return error

    async def _tables(self, role: str) -> list[Table]:
        return tables_of(await self._transaction.fetch(TABLES, role))

    async def _insert_rows(self, tables: Sequence[Table], role: str) -> None:
        """Insert what can be inserted, and find what should have been possible."""
        # A new row in a table that each node of a cluster has keeps others from changing any, until it is rolled back.
        made = [each for each in tables if each.takes_rows and each.is_distributed and each.setting in self._seeds.real]
        await self._seeds.learn(made, role)
        for table in tables:
            if table.tenant_column and (not table.takes_rows or table in made):
                await self._seeds.find(table, role)
            if table.tenant_column is None:
                await self._seeds.read(table, role)
                if not table.is_shared:
                    accept = f"-- If all tenants may read it, accept tenant_column_missing:{table.name}."
                    columns = " or ".join(column for column, _ in self._kinds)
                    self._has_no_row(table, f"it has no column {columns}", accept)
        wanted = [table for table in tables if table.takes_rows and table.name not in self._seeds.tenants]
        failures = await self._seeds.insert(wanted, role)
        for table, error in failures.items():
            if key := self._seeds.collisions.get(table.name):
                outcome = f"{key} is unique across tenants"
                self.record(table.name, "learn that another tenant has a value", outcome, blocked=False)
            elif not (table.lists_tenants and _is_for_no_partition(error)):
                self._has_no_row(table, error.args[0], table.example_wanted(error.column_name, constraint_of(error)))

    async def _attack(self, table: Table, role: str) -> Outcomes:
        """Return the worst outcome of each attempt."""
        order = (False, None, True)
        outcomes: Outcomes = {}
        if table.child_of and not table.reachable:
            return outcomes
        async for each in self._tries(table, role):
            outcome = await self._outcome(table, each, role)
            known = outcomes.setdefault(each.attempt, outcome)
            outcomes[each.attempt] = min(known, outcome, key=lambda either: order.index(either.blocked))
        return outcomes

    async def _tries(self, table: Table, role: str) -> AsyncIterator[Try]:
        """Yield what is tried on a table. The rows of a partition are those of its parent."""
        tenants = self._seeds.tenants.get(table.root)
        for me, other in (tenants[:2], tenants[1::-1]) if tenants else ():
            for each in on_rows(table, me, other):
                yield each
            for each in () if table.child_of else with_new_rows(table, self._seeds.rows, me, other):
                yield each
        tenants = tenants or await self._seeds.fitting(table, role)
        without_rows = await self._seeds.without_rows(table, role, tenants)
        for each in on_any_row(table, await self._seeds.constant(table, role), without_rows, tenants.one):
            yield each

    async def _outcome(self, table: Table, each: Try, role: str) -> Outcome:
        """Return what a statement did. It is rolled back."""
        if unbounded := self._trial.is_unbounded(table, each):
            return unbounded
        try:
            status = await self._trial.run(role, self._seeds.context(table, each.caller), each)
        except asyncpg.PostgresError as error:
            return failure(table, each, error)
        return Outcome(status, status.endswith(" 0"))

    async def _try_again(self, role: str, tables: Sequence[Table], outcomes: dict[str, Outcomes]) -> None:
        """Try everything as another role; keep what gets further than the same did before."""
        missing = [table for table in tables if table.takes_rows and table.name not in self._seeds.tenants]
        await self._seeds.insert(missing, role)
        for table in tables:
            if not table.reachable:
                continue
            await self._seeds.complete(table, role)
            known = outcomes[table.name]
            theirs = await self._attack(table, role)
            further = {
                f"{attempt} as {role}": outcome
                for attempt, outcome in theirs.items()
                if outcome.blocked is False and (attempt not in known or known[attempt].blocked is not False)
            }
            unchanged = Outcome(f"none of {len(theirs)} attempts gets further", blocked=True)
            self._record_all(table.name, further or {f"all of it as {role}": unchanged})

    def _record_all(self, table: str, outcomes: Outcomes) -> None:
        for attempt, outcome in outcomes.items():
            self.record(table, attempt, outcome.text, blocked=outcome.blocked)

    def _record_row(self, attempts: Sequence[Attempt]) -> None:
        """Keep a row of the matrix, and a finding for what should have been blocked, was refused or was not tried."""
        self.matrix += attempts
        wrong = [each for each in attempts if not each.is_as_expected]
        for kind, blocked in ((_PROVEN, False), (_REFUSED, True), (_UNTRIED, None)):
            if who := [f"{each.role}: {each.outcome}" for each in wrong if each.blocked is blocked]:
                # Of one line of the matrix both can be wrong, and the attempts across tenants have names like these.
                row = ":should be allowed" if blocked else ":in a workspace"
                self._report(kind, wrong[0].table, wrong[0].attempt, "; ".join(who), row)

    def _has_no_row(self, table: Table, reason: str, remediation: str) -> None:
        self.attempts.append(Attempt(table.name, "insert a row to try it with", reason, blocked=None))
        detail, key = f"No row of a tenant could be tried: {reason}.", f"prove_seed:{table.name}"
        fingerprint = fingerprint_of(detail)
        self.findings.append(Finding("prove_seed", "warning", table.name, detail, remediation, key, fingerprint))


def _is_for_no_partition(error: asyncpg.PostgresError) -> bool:
    return isinstance(error, asyncpg.CheckViolationError) and not constraint_of(error)
