"""The proof: what the audit reads in the catalogs is tried.

In one transaction that is always rolled back, as app_api: two synthetic tenants insert a row into every tenant table.
Then each of them tries every command on the other's row, and so does a session without a caller. The statements name
these two tenants, so that a missing policy affects their rows and no real ones.
"""

import json
from collections import defaultdict
from graphlib import TopologicalSorter
from typing import NamedTuple
from uuid import uuid4

import asyncpg

from db.audit import Finding
from db.audit.attempts import TABLES, Row, Table, tries
from db.connect import OWN_NAMES_ONLY

# How an attempt is blocked: by a missing grant or a policy, for lack of a tenant, by a foreign key without a target.
_REFUSALS = (asyncpg.InsufficientPrivilegeError, asyncpg.NotNullViolationError, asyncpg.ForeignKeyViolationError)
_REMEDIATION = "-- See who may do what: select * from audit.policies;"


class Attempt(NamedTuple):
    """One attempt to reach another tenant's row, and whether it was blocked."""

    table: str
    attempt: str
    outcome: str
    blocked: bool


class Proof(NamedTuple):
    """All attempts, and a finding for each that was not blocked."""

    attempts: list[Attempt]
    findings: list[Finding]


async def prove(connection: asyncpg.Connection) -> Proof:
    """Return every attempt on every tenant table, and the findings that are not accepted.

    `connection` is that of app_api or of a login that may become it. Raises what asyncpg raises.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        # Only a TRUNCATE that is permitted waits for a lock.
        await connection.execute(f"{OWN_NAMES_ONLY}; set local role app_api; set local lock_timeout = '1s'")
        prover = _Prover(connection)
        await prover.run()
        accepted = {row["key"] for row in await connection.fetch("select key from audit.accepted")}
    finally:
        await transaction.rollback()
    return Proof(prover.attempts, [finding for finding in prover.findings if finding.key not in accepted])


class _Prover:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._tenants = (str(uuid4()), str(uuid4()))
        self._rows: dict[tuple[str, str], Row] = {}
        self.attempts: list[Attempt] = []
        self.findings: list[Finding] = []

    async def run(self) -> None:
        caller = await self._connection.fetchval("select current_setting('app.user_id', true)")
        outcome = f"the caller is {caller}" if caller else "no caller is set"
        self._record("session", "start with a caller", outcome, blocked=not caller)
        tables = [
            Table(name, has_tenant, is_child, json.loads(columns), json.loads(keys or "[]"))
            for name, has_tenant, is_child, columns, keys in await self._connection.fetch(TABLES)
        ]
        for table in _parents_first(tables):
            if table.is_child or await self._insert_samples(table):
                await self._attack(table)

    async def _insert_samples(self, table: Table) -> bool:
        """Insert a row for each tenant, with the same values: the first must not be in the way of the second."""
        if not table.has_tenant:
            self._cannot_try(table, "it has no column user_id")
            return False
        for tenant in self._tenants:
            try:
                while not await self._insert_sample(table, tenant):
                    pass
            except asyncpg.UniqueViolationError as error:
                if tenant == self._tenants[0]:
                    self._cannot_try(table, error.args[0])
                else:
                    outcome = f"{error.constraint_name} is unique across tenants"
                    self._record(table.name, "learn that another tenant has a value", outcome, blocked=False)
                return False
            except asyncpg.PostgresError as error:
                self._cannot_try(table, error.args[0])
                return False
        return True

    async def _insert_sample(self, table: Table, tenant: str) -> bool:
        """Return whether it worked, and False if another sample may satisfy the CHECK that was violated."""
        readable = table.names("can_select")
        row = table.sample(self._rows, tenant)
        returning = ", ".join(f"{name}::text" for name in readable) or "null"
        try:
            async with self._connection.transaction():
                await self._set_caller(tenant)
                values = await self._connection.fetchrow(f"{table.insert(row)} returning {returning}", *row.values())
        except asyncpg.CheckViolationError as error:
            if not table.satisfy(error.constraint_name or ""):
                raise
            return False
        self._rows[table.name, tenant] = dict(zip(readable, values or (), strict=False))
        return True

    async def _attack(self, table: Table) -> None:
        outcomes = defaultdict(list)
        for me, other in (self._tenants, self._tenants[::-1]):
            for attempt, caller, statement, values in tries(table, self._rows, me, other):
                outcomes[attempt].append(await self._outcome(caller, statement, values))
        for attempt, both in outcomes.items():
            outcome, blocked = min(both, key=lambda each: each[1])
            self._record(table.name, attempt, outcome, blocked=blocked)

    async def _outcome(self, caller: str, statement: str, values: Row) -> tuple[str, bool]:
        """Return what a statement did, and whether it affected no row. It is rolled back."""
        savepoint = self._connection.transaction()
        await savepoint.start()
        try:
            await self._set_caller(caller)
            status = await self._connection.execute(statement, *values.values())
        except _REFUSALS as error:
            return error.args[0], True
        except asyncpg.PostgresError as error:
            return f"could not be tried: {error.args[0]}", False
        finally:
            await savepoint.rollback()
        return status, status.endswith(" 0")

    async def _set_caller(self, user: str) -> None:
        await self._connection.execute(f"set local app.user_id = '{user}'")

    def _record(self, table: str, attempt: str, outcome: str, *, blocked: bool) -> None:
        self.attempts.append(Attempt(table, attempt, outcome, blocked))
        if not blocked:
            detail = f"Not blocked: {attempt} ({outcome})."
            self.findings.append(Finding("prove", "error", table, detail, _REMEDIATION, f"prove:{table}:{attempt}"))

    def _cannot_try(self, table: Table, reason: str) -> None:
        self.attempts.append(Attempt(table.name, "insert a row to try it with", reason, blocked=False))
        detail = f"Nothing could be tried: {reason}."
        self.findings.append(
            Finding("prove_seed", "warning", table.name, detail, _REMEDIATION, f"prove_seed:{table.name}")
        )


def _parents_first(tables: list[Table]) -> list[Table]:
    by_name = {table.name: table for table in tables}
    order = TopologicalSorter({table.name: [key["table"] for key in table.foreign_keys] for table in tables})
    return [by_name[name] for name in order.static_order() if name in by_name]
