"""What `--prove` tries on a table: statements that reach for the rows of another tenant."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import asyncpg

from db.audit.rows import USER, Column, Row, Rows, Table, literal

NO_CALLER = ""
NO_TENANT = None
"""A user who acts for no tenant, where a tenant is not a user."""

MISSING_TENANT = (asyncpg.NotNullViolationError, asyncpg.ForeignKeyViolationError)
"""How an INSERT is blocked for lack of a tenant, or by a foreign key without a target."""
# The others are blocked by a missing grant or a policy.
_REFUSALS = (asyncpg.InsufficientPrivilegeError, *MISSING_TENANT)


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
    counters: str = ""
    """For a write without a condition on a column: what must not have changed since; its last parameter."""
    moves: bool = False
    """Whether it may find the caller's row, and only the new row is another tenant's."""
    own: int = 0
    """How many of the rows that it finds may be the caller's."""


def on_rows(table: Table, me: str, other: str) -> Iterator[Try]:
    """Yield what `me` tries on the row of `other`."""
    name, tenant = table.name, str(table.tenant_column)
    mine, others = f"{tenant} = {literal(me)}", f"{tenant} = {literal(other)}"
    column = (table.names("can_update") or [tenant])[0]
    merge = f"merge into {name} using (select) as s on {others} when matched then delete"
    yield Try("read another tenant's row", me, f"select from {name} where {others}")
    yield Try("read all rows but one's own", me, f"select from {name} where ({mine}) is not true limit 1")
    yield Try("lock another tenant's row", me, f"select from {name} where {others} for update")
    yield Try("update another tenant's row", me, f"update {name} set {column} = {column} where {others}")
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


def on_any_row(table: Table, constant: Column | None, tenant: str) -> Iterator[Try]:
    """Yield what `tenant`, who has no row, and a session without a caller try on all rows.

    Where a tenant is not a user, so does a user who acts for none. `constant` is a column to update and its value.
    """
    callers: list[tuple[str | None, str]] = [(tenant, "without a condition"), (NO_CALLER, "without a caller")]
    if table.setting not in (None, USER):
        callers.append((NO_TENANT, f"without a {table.tenant_key}"))
    for caller, without in callers:
        if not (table.is_shared or (caller is NO_TENANT and table.is_listed)):
            yield Try(f"read {without}", caller, f"select from {table.name} limit 1")
            yield Try(f"lock {without}", caller, f"select from {table.name} limit 1 for update")
        yield from blind_writes(table, constant, caller, without)
    yield Try("truncate", tenant, f"truncate {table.name}")


def blind_writes(table: Table, constant: Column | None, caller: str | None, without: str) -> Iterator[Try]:
    """Yield writes that read no column, as the policies for SELECT would then hide what is wrong with the others.

    Each changes one row at most. The counters of the rows that a transaction has changed, which a rollback to a
    savepoint does not turn back, are compared for each row, because their functions are volatile.
    """
    name, counters = table.name, _counters(table.leaves or [])
    unchanged = f"{counters} = $1::text::bigint[]"
    merge = f"merge into {name} using (select) as s on {unchanged} when matched then delete"
    yield Try(f"delete {without}", caller, f"delete from {name} where {unchanged}", counters=counters)
    yield Try(f"merge {without}", caller, merge, counters=counters)
    if constant:
        unchanged = f"{counters} = $2::text::bigint[]"
        update = f"update {name} set {constant.name} = $1::text::{constant.type} where {unchanged}"
        yield Try(f"update {without}", caller, update, {constant.name: constant.sample}, counters=counters)


def blind_delete_of_two(table: Table, caller: str | None) -> Try:
    """Return the same for two rows, of which one is the caller's: where a row is all that a tenant has."""
    counters = _counters(table.leaves or [])
    delete = f"delete from {table.name} where ({counters})[1] <= ($1::text::bigint[])[1] + 1"
    return Try("delete others without a condition", caller, delete, counters=counters, own=1)


def blind_move(table: Table, caller: str | None, other: str) -> Try:
    """Return the same for a row that is moved: a policy for SELECT would also hide the new row."""
    counters = _counters(table.leaves or [])
    move = f"update {table.name} set {table.tenant_column} = {literal(other)} where {counters} = $1::text::bigint[]"
    return Try("move without a condition", caller, move, counters=counters, moves=True)


def _counters(leaves: list[int]) -> str:
    """Return an array of numbers, of which one grows with each row that is changed in a table or its partitions.

    An update that moves a row to another partition counts as a delete.
    """
    each = (f"pg_stat_get_xact_tuples_updated({leaf}) + pg_stat_get_xact_tuples_deleted({leaf})" for leaf in leaves)
    return f"array[{', '.join(each)}]::bigint[]"


def failure(each: Try, error: asyncpg.PostgresError) -> Outcome:
    """Return whether an error of PostgreSQL's means that the attempt was blocked."""
    text = str(error.args[0])
    if each.counters and isinstance(error, asyncpg.FeatureNotSupportedError):  # Citus: no volatile function in a write
        return Outcome(f"could not be tried: {text}", blocked=None)
    if each.first and isinstance(error, (asyncpg.UniqueViolationError, asyncpg.CheckViolationError)):
        return Outcome(f"could not be tried: {text}", blocked=None)
    if each.counters:
        return Outcome(text, blocked=isinstance(error, asyncpg.InsufficientPrivilegeError) and not reached(each, error))
    if isinstance(error, _REFUSALS):
        return Outcome(text, blocked=True)
    return Outcome(f"could not be tried: {text}", blocked=False)


def reached(each: Try, error: asyncpg.PostgresError) -> bool:
    """Return whether an update found a row of somebody else, and failed only because the new row is not the caller's.

    The other commands have no new row: MERGE reports in this way that it may not delete what it found.
    """
    return (
        each.statement.startswith("update")
        and not each.moves
        and error.server_source_function == "ExecWithCheckOptions"
    )
