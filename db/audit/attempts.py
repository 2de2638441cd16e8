"""What `--prove` tries on a table: statements that reach for the rows of another tenant."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import asyncpg

from db.audit.rows import USER, Column, Row, Rows, Table, literal
from db.refusals import is_refused_by_planner, is_refused_by_policy

NO_CALLER = ""
NO_TENANT = None
"""A user who acts for no tenant, where a tenant is not a user."""

MISSING_TENANT = (asyncpg.NotNullViolationError, asyncpg.NullValueNotAllowedError, asyncpg.ForeignKeyViolationError)
"""How an INSERT is blocked for lack of a tenant (on Citus: of a shard), or by a foreign key without a target."""
# The others are blocked by a missing grant or a policy.
_REFUSALS = (asyncpg.InsufficientPrivilegeError, *MISSING_TENANT)

REFUSED_BY_CITUS = "Citus runs it for nobody"
"""How the outcome begins of what has no plan there."""


class Attempt(NamedTuple):
    """One attempt, and whether it was blocked; None: it could not be made.

    In a workspace also what made it is to the workspace, and whether it should be "allowed". All others should be
    "blocked".
    """

    table: str
    attempt: str
    outcome: str
    blocked: bool | None
    role: str | None = None
    expected: str = "blocked"

    @property
    def is_as_expected(self) -> bool:
        """Whether what should be blocked was, and what should be allowed was not."""
        return self.blocked is (self.expected == "blocked")


class Outcome(NamedTuple):
    """What an attempt led to, and whether it was blocked; None: it could not be made."""

    text: str
    blocked: bool | None


class Try(NamedTuple):
    """One statement to try, and as whom."""

    attempt: str
    caller: str | None
    statement: str
    values: Mapping[str, str | None] = MappingProxyType({})
    first: str = ""
    """What makes room for it; it may fail."""
    is_blind: bool = False
    """Whether it is a write without a condition on a column."""
    counters: str = ""
    """What must not have changed since, which bounds such a write: its last parameter."""
    moves: bool = False
    """Whether it may find the caller's row, and only the new row is another tenant's."""
    own: int = 0
    """How many of the rows that it finds may be the caller's."""


def on_rows(table: Table, me: str, other: str) -> Iterator[Try]:
    """Yield what `me` tries on the row of `other`."""
    name, tenant = table.name, str(table.tenant_column)
    mine, others = f"{tenant} = {literal(me)}", f"{tenant} = {literal(other)}"
    merge = f"merge into {name} using (select) as s on {others} when matched then delete"
    yield Try("read another tenant's row", me, f"select from {name} where {others}")
    yield Try("read all rows but one's own", me, f"select from {name} where ({mine}) is not true limit 1")
    yield Try("lock another tenant's row", me, f"select from {name} where {others} for update")
    yield Try("update another tenant's row", me, table.update(others))
    yield Try("move a row to another tenant", me, f"update {name} set {tenant} = {literal(other)} where {mine}")
    yield blind_move(table, me, other)
    yield Try("delete another tenant's row", me, f"delete from {name} where {others}")
    yield Try("merge into another tenant's row", me, merge)


def with_new_rows(table: Table, rows: Rows, me: str, other: str) -> Iterator[Try]:
    """Yield what `me`, and a session without a caller, try to insert."""
    row = table.sample(rows, me)
    planted: Row = {**row, str(table.tenant_column): other}
    yield Try("insert without a caller", NO_CALLER, table.insert(row), row)
    yield Try("insert a row for another tenant", me, table.insert(planted), planted)
    removal = f"delete from {table.name} where {table.tenant_column} = {literal(me)}"
    for key in table.foreign_keys:
        if reaching := table.reaching(rows, key, me, other):
            attempt = f"reference another tenant's row in {key['table']}"
            yield Try(attempt, me, table.insert(reaching), reaching, first=removal)


def on_any_row(table: Table, constant: Column | None, tenant: str, other: str) -> Iterator[Try]:
    """Yield what `tenant`, who has no row, and a session without a caller try on all rows.

    Where a tenant is not a user, so does a user who acts for none. `constant` is a column to update and its value;
    `other` is a tenant who may have a row.
    """
    callers: list[tuple[str | None, str]] = [(tenant, "without a condition"), (NO_CALLER, "without a caller")]
    if table.setting not in (None, USER):
        callers.append((NO_TENANT, f"without a {table.tenant_key}"))
    for caller, without in callers:
        if not (table.is_shared or (caller is NO_TENANT and table.is_listed)):
            yield Try(f"read {without}", caller, f"select from {table.name} limit 1")
            locked = f"{table.name}{_one_shard(table, other)}"
            yield Try(f"lock {without}", caller, f"select from {locked} limit 1 for update")
        yield from blind_writes(table, constant, caller, without)
    yield Try("truncate", tenant, f"truncate {table.name}")


def blind_writes(table: Table, constant: Column | None, caller: str | None, without: str) -> Iterator[Try]:
    """Yield writes that read no column, as the policies for SELECT would then hide what is wrong with the others.

    Each changes one row at most. The counters of the rows that a transaction has changed, which a rollback to a
    savepoint does not turn back, are compared for each row, because their functions are volatile. Citus runs no write
    with a volatile function: there, only a timeout bounds them.
    """
    name = table.name
    merge = f"merge into {name} using (select) as s on {{}} when matched then delete"
    yield _blind(table, f"delete {without}", caller, f"delete from {name} where {{}}")
    yield _blind(table, f"merge {without}", caller, merge)
    if constant:
        update = f"update {name} set {constant.name} = $1::text::{constant.type} where {{}}"
        yield _blind(table, f"update {without}", caller, update, {constant.name: constant.sample})


def blind_delete_of_two(table: Table, caller: str | None) -> Try:
    """Return the same for two rows, of which one is the caller's: where a row is all that a tenant has."""
    counters = _counters(table)
    changed = f"({counters})[1] <= ($1::text::bigint[])[1] + 1" if counters else "true"
    attempt = "delete others without a condition"
    return Try(attempt, caller, f"delete from {table.name} where {changed}", is_blind=True, counters=counters, own=1)


def blind_move(table: Table, caller: str | None, other: str) -> Try:
    """Return the same for a row that is moved: a policy for SELECT would also hide the new row."""
    move = f"update {table.name} set {table.tenant_column} = {literal(other)} where {{}}"
    return _blind(table, "move without a condition", caller, move)._replace(moves=True)


def _blind(table: Table, attempt: str, caller: str | None, statement: str, values: Row | None = None) -> Try:
    """Return a write whose condition, the {} of `statement`, is that nothing has been changed yet."""
    values, counters = values or {}, _counters(table)
    unchanged = f"{counters} = ${len(values) + 1}::text::bigint[]" if counters else "true"
    return Try(attempt, caller, statement.format(unchanged), values, is_blind=True, counters=counters)


def _counters(table: Table) -> str:
    """Return an array of numbers, of which one grows with each row that is changed in a table or its partitions.

    An update that moves a row to another partition counts as a delete. '': the rows are on other servers.
    """
    if table.is_distributed:
        return ""
    leaves = table.leaves or []
    each = (f"pg_stat_get_xact_tuples_updated({leaf}) + pg_stat_get_xact_tuples_deleted({leaf})" for leaf in leaves)
    return f"array[{', '.join(each)}]::bigint[]"


def _one_shard(table: Table, tenant: str) -> str:
    """Return the condition without which Citus locks no row."""
    return f" where {table.tenant_column} = {literal(tenant)}" if table.is_distributed and table.tenant_column else ""


def is_refused_by_citus(table: Table | None, error: asyncpg.PostgresError) -> bool:
    """Return whether there is no plan for a statement on a distributed table: it runs for nobody, so reaches no row."""
    return table is not None and table.is_distributed and is_refused_by_planner(error)


def failure(table: Table, each: Try, error: asyncpg.PostgresError) -> Outcome:
    """Return whether an error of PostgreSQL's means that the attempt was blocked."""
    text = str(error.args[0])
    if is_refused_by_citus(table, error):
        return Outcome(f"{REFUSED_BY_CITUS}: {text}", blocked=True)
    if each.first and isinstance(error, (asyncpg.UniqueViolationError, asyncpg.CheckViolationError)):
        return Outcome(f"could not be tried: {text}", blocked=None)
    if each.is_blind:
        return Outcome(text, blocked=isinstance(error, asyncpg.InsufficientPrivilegeError) and not reached(each, error))
    if isinstance(error, _REFUSALS):
        return Outcome(text, blocked=True)
    return Outcome(f"could not be tried: {text}", blocked=False)


def reached(each: Try, error: asyncpg.PostgresError) -> bool:
    """Return whether an update found a row of somebody else, and failed only because the new row is not the caller's.

    The other commands have no new row: MERGE reports in this way that it may not delete what it found.
    """
    return each.statement.startswith("update") and not each.moves and is_refused_by_policy(error)
