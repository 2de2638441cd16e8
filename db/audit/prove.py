"""The proof: what the audit reads in the catalogs, tried out.

In one transaction, always rolled back, as app_api: two synthetic tenants get a row each in every tenant table, then
each tries to reach the other's with every command, and so does a session without a caller. The statements name the
two tenants, so a missing wall shows on their rows and not on real ones.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg

from db.audit import Finding

_TABLES = """
select audit.name(t."table") as name, t.tenant_column is not null as has_tenant, t.child_of is not null as is_child,
    (select json_agg(json_build_object(
            'name', quote_ident(a.attname), 'type', format_type(a.atttypid, a.atttypmod), 'category', y.typcategory,
            'label', (select enumlabel from pg_enum where enumtypid = y.oid order by enumsortorder limit 1),
            'can_select', has_column_privilege(a.attrelid, a.attnum, 'select'),
            'can_insert', not made.by_itself and has_column_privilege(a.attrelid, a.attnum, 'insert'),
            'can_update', not made.by_itself and has_column_privilege(a.attrelid, a.attnum, 'update'),
            'required', a.attnotnull and not a.atthasdef and not made.by_itself
        ) order by a.attnum)
        from pg_attribute as a join pg_type as y on y.oid = a.atttypid
        cross join lateral (select a.attidentity = 'a' or a.attgenerated <> '' as by_itself) as made
        where a.attrelid = t."table" and a.attnum > 0 and not a.attisdropped) as columns,
    (select json_agg(json_build_object('table', audit.name(f.confrelid), 'columns', (
            select json_object_agg(quote_ident(here.attname), quote_ident(there.attname))
            from unnest(f.conkey, f.confkey) as pair (here, there)
            join pg_attribute as here on here.attrelid = f.conrelid and here.attnum = pair.here
            join pg_attribute as there on there.attrelid = f.confrelid and there.attnum = pair.there
        )))
        from pg_constraint as f
        join audit.tables as p on p."table" = f.confrelid and p.tenant_column is not null
        where f.conrelid = t."table" and f.contype = 'f' and f.confrelid <> f.conrelid) as foreign_keys
from audit.tables as t
order by 1
"""

# What a column can hold, by its type's category (https://www.postgresql.org/docs/18/catalog-pg-type.html). A number
# is good for all others.
_SAMPLES = {"A": "{}", "B": "false", "D": "now", "I": "127.0.0.1", "R": "empty", "T": "0"}
_SAMPLES_OF_TYPES = {"uuid": str(uuid4()), "json": "{}", "jsonb": "{}", "bytea": ""}

# How a wall answers: denied by a grant or a policy, nobody's row, a reference to what is not there.
_REFUSALS = (asyncpg.InsufficientPrivilegeError, asyncpg.NotNullViolationError, asyncpg.ForeignKeyViolationError)
_NOBODY = ""

Row = Mapping[str, str | None]


class Attempt(NamedTuple):
    """One way that was tried to get past a wall."""

    table: str
    attempt: str
    outcome: str
    holds: bool


class Proof(NamedTuple):
    """What was tried, and what came of it that should not have."""

    attempts: list[Attempt]
    findings: list[Finding]


class _Table(NamedTuple):
    name: str
    has_tenant: bool
    is_child: bool
    columns: list[dict[str, Any]]
    foreign_keys: list[dict[str, Any]]

    def names(self, privilege: str) -> list[str]:
        return [column["name"] for column in self.columns if column[privilege]]

    def insert(self, row: Row) -> str:
        if not row:
            return f"insert into {self.name} default values"
        types = {column["name"]: column["type"] for column in self.columns}
        values = ", ".join(f"${place}::text::{types[name]}" for place, name in enumerate(row, 1))
        return f"insert into {self.name} ({', '.join(row)}) values ({values})"


async def prove(connection: asyncpg.Connection) -> Proof:
    """Return every attempt on every tenant table, and the findings that are not accepted.

    `connection` is that of app_api or of a login that may become it. Raises what asyncpg raises.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        # TRUNCATE waits for a lock only where it is not denied.
        await connection.execute("set local role app_api; set local lock_timeout = '1s'")
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
        self._note(
            "session", "start with a caller", f"it is {caller}" if caller else "nobody is calling", holds=not caller
        )
        tables = [
            _Table(name, tenant, child, json.loads(columns), json.loads(keys or "[]"))
            for name, tenant, child, columns, keys in await self._connection.fetch(_TABLES)
        ]
        for table in _parents_first(tables):
            if table.is_child or await self._seed(table):
                await self._attack(table)

    async def _seed(self, table: _Table) -> bool:
        """Give each tenant a row, both with the same values: the second must not learn of the first."""
        if not table.has_tenant:
            self._cannot_seed(table, "it has no column user_id")
            return False
        readable = table.names("can_select")
        returning = ", ".join(f"{name}::text" for name in readable) or "null"
        for tenant in self._tenants:
            row = self._sample(table, tenant)
            try:
                async with self._connection.transaction():
                    await self._call_as(tenant)
                    values = await self._connection.fetchrow(
                        f"{table.insert(row)} returning {returning}", *row.values()
                    )
            except asyncpg.PostgresError as error:
                if isinstance(error, asyncpg.UniqueViolationError) and tenant == self._tenants[1]:
                    told = f"{error.constraint_name} tells one tenant what the other has"
                    self._note(table.name, "learn that a value exists next door", told, holds=False)
                else:
                    self._cannot_seed(table, error.args[0])
                return False
            self._rows[table.name, tenant] = dict(zip(readable, values or (), strict=False))
        return True

    def _sample(self, table: _Table, tenant: str, number: int = 1) -> Row:
        """Return what app_api must say of a new row: values without a default, references to rows of the tenant."""
        row = {
            column["name"]: column["label"]
            or _SAMPLES_OF_TYPES.get(column["type"], _SAMPLES.get(column["category"], str(number)))
            for column in table.columns
            if column["required"] and column["can_insert"]
        }
        for key in table.foreign_keys:
            row |= self._reference(table, key, tenant)
        return row

    def _reference(self, table: _Table, key: Mapping[str, Any], tenant: str) -> Row:
        """Return the columns of a foreign key as they refer to the row of `tenant`."""
        parent = self._rows.get((key["table"], tenant), {})
        insertable = table.names("can_insert")
        return {
            here: parent[there]
            for here, there in key["columns"].items()
            if here != "user_id" and here in insertable and there in parent
        }

    async def _attack(self, table: _Table) -> None:
        outcomes = defaultdict(list)
        for me, other in (self._tenants, self._tenants[::-1]):
            for attempt, caller, statement, values in self._attempts(table, me, other):
                outcomes[attempt].append(await self._outcome(caller, statement, values))
        for attempt, both in outcomes.items():
            outcome, holds = min(both, key=lambda each: each[1])
            self._note(table.name, attempt, outcome, holds=holds)

    def _attempts(self, table: _Table, me: str, other: str) -> Iterator[tuple[str, str, str, Row]]:
        """Yield what is tried, as whom, by which statement, with which arguments."""
        name = table.name
        mine, others = f"user_id = '{me}'", f"user_id = '{other}'"
        column = (table.names("can_update") or ["user_id"])[0]
        change = f"update {name} set {column} = {column} where {others}"
        delete = f"delete from {name} where {others}"
        for attempt, caller, statement in (
            ("read a row of another", me, f"select from {name} where {others}"),
            ("read any row but one's own", me, f"select from {name} where ({mine}) is not true limit 1"),
            ("lock a row of another", me, f"select from {name} where {others} for update"),
            ("change a row of another", me, change),
            ("give a row away", me, f"update {name} set user_id = '{other}' where {mine}"),
            ("delete a row of another", me, delete),
            (
                "merge into a row of another",
                me,
                f"merge into {name} using (select) as s on {others} when matched then delete",
            ),
            ("truncate", me, f"truncate {name}"),
            ("read as nobody", _NOBODY, f"select from {name} where {others}"),
            ("change as nobody", _NOBODY, change),
            ("delete as nobody", _NOBODY, delete),
        ):
            yield attempt, caller, statement, {}
        if table.is_child:
            return
        row = self._sample(table, me)
        planted = {**row, "user_id": other}
        yield "add as nobody", _NOBODY, table.insert(row), row
        yield "add a row next door", me, table.insert(planted), planted
        row = self._sample(table, me, number=2)  # unlike the one that is there: its keys must be free
        for key in table.foreign_keys:
            reaching = {**row, **self._reference(table, key, other)}
            if reaching != row:
                yield f"refer to a row of another in {key['table']}", me, table.insert(reaching), reaching

    async def _outcome(self, caller: str, statement: str, values: Row) -> tuple[str, bool]:
        """Return what a statement did, and whether that was nothing. Whatever it did is undone."""
        savepoint = self._connection.transaction()
        await savepoint.start()
        try:
            await self._call_as(caller)
            status = await self._connection.execute(statement, *values.values())
        except _REFUSALS as error:
            return error.args[0], True
        except asyncpg.PostgresError as error:
            return f"could not be tried: {error.args[0]}", False
        finally:
            await savepoint.rollback()
        return status, status.endswith(" 0")

    async def _call_as(self, user: str) -> None:
        await self._connection.execute("select set_config('app.user_id', $1, true)", user)

    def _note(self, table: str, attempt: str, outcome: str, *, holds: bool) -> None:
        self.attempts.append(Attempt(table, attempt, outcome, holds))
        if not holds:
            self._report("prove", "error", table, f"Could {attempt}: {outcome}.", f"prove:{table}:{attempt}")

    def _cannot_seed(self, table: _Table, reason: str) -> None:
        self.attempts.append(Attempt(table.name, "add a row to try it with", reason, holds=False))
        self._report("prove_seed", "warning", table.name, f"Nothing was tried: {reason}.", f"prove_seed:{table.name}")

    def _report(self, name: str, level: str, table: str, detail: str, key: str) -> None:
        remedy = "-- See who may do what: select * from audit.policies;"
        self.findings.append(Finding(name, level, table, detail, remedy, key))


def _parents_first(tables: list[_Table]) -> list[_Table]:
    by_name = {table.name: table for table in tables}
    order = TopologicalSorter({table.name: [key["table"] for key in table.foreign_keys] for table in tables})
    return [by_name[name] for name in order.static_order() if name in by_name]
