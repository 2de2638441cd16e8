"""The rows of `--prove`: one of each of two tenants in every table, inserted as the API would."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from random import SystemRandom
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import asyncpg

from db.audit.attempts import NO_CALLER, NO_TENANT
from db.audit.rows import USER, Column, Row, Table, literal
from db.refusals import constraint_of
from db.session import setting_statement

API = "app_api"

Failures = Mapping[Table, asyncpg.PostgresError]
Context = Mapping[str, str]
"""What a session sets: all settings of audit.tenants."""


class Transaction(Protocol):
    """An open transaction: of the API's session, or of any asyncpg.Connection."""

    async def execute(self, query: str, /, *arguments: Any) -> str:  # noqa: ANN401 - whatever the parameter takes
        """Return the status of a statement."""

    async def fetch(self, query: str, /, *arguments: Any) -> list[asyncpg.Record]:  # noqa: ANN401 - the same
        """Return all rows of a query."""


@asynccontextmanager
async def acting(transaction: Transaction, role: str, context: Context, *, keep: bool = False) -> AsyncIterator[None]:
    """Run the block as `role` in this context. What it did is rolled back, unless it succeeds and is to be kept.

    `transaction` is one of app_api.
    """
    settings = [setting_statement(setting, value) for setting, value in context.items()]
    if role != API:
        settings.append(f"set local role {role}")  # a coordinator sends it to the workers, for every login it has there
    await transaction.execute("savepoint attempt")
    end = "rollback to savepoint attempt; release savepoint attempt"
    try:
        await transaction.execute("; ".join(settings))
        yield
        if keep:
            end = "release savepoint attempt" + f"; set local role {API}" * (role != API)
    finally:
        await transaction.execute(end)


class Tenants(NamedTuple):
    """The ids of three tenants. The third one has no row anywhere."""

    one: str
    other: str
    without_rows: str


class Seeds:
    """The tenants, and their rows."""

    def __init__(self, transaction: Transaction, tables: Iterable[Table], settings: Iterable[str], user: str) -> None:
        """Make up the tenants; nothing is inserted yet. `settings` are those of audit.tenants."""
        self._transaction = transaction
        self._nobody = dict.fromkeys([USER, *settings], NO_CALLER)
        self._forms = _tenants(tables)
        self.user = user
        """Acts for every tenant that is not a user."""
        self.real: dict[str, Tenants] = {}
        """Tenants that must exist, and do, by their setting: `user` belongs to all three."""
        self.tenants: dict[str, Tenants] = {}
        """Whose rows are in a table."""
        self.rows: dict[tuple[str, str], Row] = {}
        self.collisions: dict[str, str] = {}
        """Keys that are unique across tenants, by table."""

    def context(self, table: Table | None, tenant: str | None) -> Context:
        """Return what a session sets that acts for `tenant` on a table: of all other settings none but the user.

        Where a tenant is not a user, it is one user who acts for every tenant, so that belonging to both is not enough.
        """
        if tenant == NO_CALLER:
            return self._nobody
        setting = (table and table.setting) or USER
        return self.session(self.user, {} if tenant is NO_TENANT else {setting: tenant})

    def session(self, user: str, tenant: Context = MappingProxyType({})) -> Context:
        """Return what a session sets that acts as `user`, for the tenant of a setting."""
        return {**self._nobody, USER: user, **tenant}

    async def insert(self, tables: Iterable[Table], role: str) -> Failures:
        """Insert a row for each tenant into each table as `role`. Return the tables where that failed, and why.

        A row may need one of another table first, which may be any of the others, so what failed is tried again as
        long as something else succeeds.
        """
        pending, failures = [*tables], {}
        while pending:
            errors = [(table, await self._insert_both(table, role)) for table in pending]
            failures = {table: error for table, error in errors if error}
            if len(failures) == len(pending):
                break
            pending = [*failures]
        return failures

    async def learn(self, tables: Iterable[Table], role: str) -> None:
        """Find values that the columns of rows may have: by inserting rows, which are taken back."""
        rows, tenants = {**self.rows}, {**self.tenants}
        async with acting(self._transaction, role, self._nobody):
            await self.insert(tables, role)
        self.rows, self.tenants = rows, tenants

    async def read(self, table: Table, role: str) -> None:
        """Take a row of a table without tenants as one that everybody's rows may reference."""
        readable, found = table.names("can_select"), []
        with suppress(asyncpg.PostgresError):
            async with acting(self._transaction, role, self.context(table, self._forms[0].one)):
                found = await self._transaction.fetch(f"select {_texts(readable)} from {table.name} limit 1")
        for row in found:
            for tenant in {tenant for form in self._forms for tenant in form}:
                self.rows[table.name, tenant] = dict(zip(readable, row, strict=True))

    async def find(self, table: Table, role: str) -> None:
        """Take the rows that each tenant has in a table into which `role` inserts none: a function has."""
        readable, rows = table.names("can_select"), {}
        form = self.real.get(table.setting or "", None)
        for tenant in form[:2] if form and readable else ():
            query = (
                f"select {_texts(readable)} from {table.name} where {table.tenant_column} = {literal(tenant)} limit 1"
            )
            with suppress(asyncpg.PostgresError):
                async with acting(self._transaction, role, self.context(table, tenant)):
                    for row in await self._transaction.fetch(query):
                        rows[table.name, tenant] = dict(zip(readable, row, strict=True))
        if form and len(rows) == len(form[:2]):
            self.rows |= rows
            self.tenants[table.name] = form
            for column in table.columns:
                column.sample = rows[table.name, form.one].get(column.name, column.sample)

    async def without_rows(self, table: Table, role: str, tenants: Tenants) -> str:
        """Return a tenant that has no row in a table: the third one, unless something gives each tenant rows."""
        query = f"select from {table.name} where {table.tenant_column} = {literal(tenants.without_rows)} limit 1"
        with suppress(asyncpg.PostgresError):
            async with acting(self._transaction, role, self.context(table, tenants.without_rows)):
                if await self._transaction.fetch(query):
                    return self._forms[0].without_rows
        return tenants.without_rows

    async def guess(self, column: Column, role: str) -> bool:
        """Make the next value that the column's type accepts its sample. Return whether there is one."""
        while column.guesses:
            value = column.guesses.pop(0)
            with suppress(asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
                async with acting(self._transaction, role, self.context(None, self._forms[0].one)):
                    await self._transaction.fetch(f"select $1::text::{column.type} is null", value)
                column.sample = value
                return True
        return False

    async def constant(self, table: Table, role: str) -> Column | None:
        """Return a column to update with its sample: one that may be updated, if there is one."""
        for column in table.to_update:
            if column.sample is not None or not column.can_update or await self.guess(column, role):
                return column
        return next((column for column in table.columns if column.can_name), None)

    async def complete(self, table: Table, role: str) -> None:
        """Give each column that needs one a sample."""
        for column in table.to_insert:
            if column.sample is None:
                await self.guess(column, role)

    async def fitting(self, table: Table, role: str) -> Tenants:
        """Return tenants whose ids the policies of a table can compare with its column."""
        for form in self._forms_for(table):
            try:
                async with acting(self._transaction, role, self.context(table, form.without_rows)):
                    await self._transaction.execute(f"select from {table.name} limit 1")
            except asyncpg.DataError:
                continue
            except asyncpg.PostgresError:  # the attempts will say so
                pass
            return form
        return self._forms[0]

    def _forms_for(self, table: Table) -> list[Tenants]:
        real = self.real.get(table.setting or "")
        return [real] if real else self._forms

    async def _insert_both(self, table: Table, role: str) -> asyncpg.PostgresError | None:
        """Insert a row for each tenant, with the same values: the first must not be in the way of the second."""
        errors: list[asyncpg.PostgresError] = []
        for form in self._forms_for(table):
            rows: dict[tuple[str, str], Row] = {}
            try:
                async with acting(self._transaction, role, self.context(table, form.one), keep=True):
                    for tenant in (form.one, form.other):
                        rows[table.name, tenant] = await self._insert(table, role, tenant)
            except asyncpg.PostgresError as error:
                if rows and isinstance(error, asyncpg.UniqueViolationError):
                    self.collisions[table.name] = constraint_of(error)
                errors.append(error)
            else:
                self.rows |= rows
                self.tenants[table.name] = form
                return None
        # An id of the wrong form says the least.
        return next((error for error in errors if not isinstance(error, asyncpg.DataError)), errors[0])

    async def _insert(self, table: Table, role: str, tenant: str) -> Row:
        """Return the row, as far as `role` can read it. Other values are tried until no CHECK is violated."""
        await self.complete(table, role)
        readable = table.names("can_select")
        while True:
            row = table.sample(self.rows, tenant)
            # Citus has no function in RETURNING, and some casts are functions.
            new = f"{table.insert(row)} returning {', '.join(readable) or 'null as nothing'}"
            statement = f"with new as ({new}) select {_texts(readable) or 'null'} from new"
            try:
                async with acting(self._transaction, role, self.context(table, tenant), keep=True):
                    [values] = await self._transaction.fetch(statement, *row.values())
            except asyncpg.CheckViolationError as error:
                if not await self._guess_again(table, role, constraint_of(error)):
                    raise
            else:
                return dict(zip(readable, values, strict=False))

    async def _guess_again(self, table: Table, role: str, constraint: str) -> bool:
        """Change the sample of a column of a CHECK. '' is not a CHECK: there is no partition for the row."""
        for column in table.to_insert:
            if column.key in table.checks.get(constraint, []) and await self.guess(column, role):
                return True
        return False


def _tenants(tables: Iterable[Table]) -> list[Tenants]:
    """Return ids that nobody has, in each form that a tenant column may want."""
    random = SystemRandom()
    uuids = [uuid4() for _ in range(3)]
    bigints = random.sample(range(10**18, 9 * 10**18), 3)
    integers = random.sample(range(2 * 10**9, 2**31), 3)
    given = [table.example[table.tenant_key] for table in tables if table.tenant_key in table.example]
    return [Tenants(*map(str, form)) for form in (uuids, bigints, integers, *given)]


def _texts(columns: Iterable[str]) -> str:
    return ", ".join(f"{name}::text" for name in columns)
