"""A table that `--prove` tries, and the rows that it makes up for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from db.audit.samples import ANOTHER_UUID, UUID

USER = "app.user_id"
"""The setting of those tenants who are users: each request has one."""

_HASH = 16  # bytes

Row = dict[str, str | None]
ForeignKey = Mapping[str, Any]
Rows = Mapping[tuple[str, str], Row]
"""The rows that were inserted, by table and tenant."""


@dataclass(eq=False)
class Column:
    """A column, and the value that a row which is made up has in it."""

    name: str
    key: str
    type: str
    can_select: bool
    can_insert: bool
    can_update: bool
    can_name: bool
    required: bool
    guesses: list[str]
    sample: str | None = None

    @property
    def value(self) -> str | None:
        """What a new row has: the sample. A hash is another one in each row, as hashes are."""
        if self.type == "bytea" and self.sample and len(self.sample) >= _HASH:
            return token_hex(len(self.sample))[: len(self.sample)]
        return self.sample


@dataclass(eq=False)
class Table:
    """A table of audit.tables, as one role may use it."""

    name: str
    tenant_column: str | None
    setting: str | None
    """Holds the tenant that a session acts for, where there is a tenant column."""
    child_of: str | None
    is_shared: bool
    is_listed: bool
    """Whether a user who acts for no tenant may read the rows of theirs."""
    reachable: bool
    can_insert: bool
    can_delete: bool
    lists_tenants: bool
    is_distributed: bool
    """Whether its rows are on the workers of a Citus cluster, or on every node of one."""
    leaves: list[int] | None
    columns: list[Column]
    checks: dict[str, list[str]]
    foreign_keys: list[ForeignKey]
    example: dict[str, Any]
    root: str = ""
    """The topmost parent of a partition or of an inheritance child, or the table itself."""

    @property
    def takes_rows(self) -> bool:
        """Whether tenants may insert rows."""
        return self.tenant_column is not None and self.can_insert and not self.child_of

    @property
    def tenant_key(self) -> str | None:
        """The name of the tenant column, not quoted."""
        return next((column.key for column in self.columns if column.name == self.tenant_column), None)

    @property
    def to_insert(self) -> list[Column]:
        """The columns for which a new row needs a value that is guessed."""
        return [each for each in self.columns if each.required and each.can_insert and each.key not in self.example]

    @property
    def to_update(self) -> list[Column]:
        """The columns that may be updated, or the first one that an UPDATE can name.

        Not the tenant where Citus distributes the rows by it: there it is updated for nobody.
        """
        named = [each for each in self.columns if each.can_name]
        if self.is_distributed:
            named = [each for each in named if each.name != self.tenant_column] or named
        return [each for each in named if each.can_update] or named[:1]

    def names(self, privilege: str) -> list[str]:
        """Return the columns that have `privilege`: can_select, can_insert or can_update."""
        return [column.name for column in self.columns if getattr(column, privilege)]

    def insert(self, row: Row) -> str:
        """Return the statement that inserts `row`, whose values are its parameters."""
        if not row:
            return f"insert into {self.name} default values"
        types = {column.name: column.type for column in self.columns}
        values = ", ".join(f"${place}::text::{types[name]}" for place, name in enumerate(row, 1))
        return f"insert into {self.name} ({', '.join(row)}) values ({values})"

    def update(self, condition: str) -> str:
        """Return a statement that updates the rows of a condition, and changes no value."""
        column = next((each.name for each in self.to_update), self.tenant_column)
        return f"update {self.name} set {column} = {column} where {condition}"

    def sample(self, rows: Rows, tenant: str) -> Row:
        """Return a new row: values for columns without a default, references to the rows of `tenant`."""
        row: Row = {column.name: column.value for column in self.to_insert}
        for key in self.foreign_keys:
            row |= self.reference(rows, key, tenant)
        return row | {
            column.name: _as_text(self.example[column.key])
            for column in self.columns
            if column.key in self.example and column.name != self.tenant_column and column.can_insert
        }

    def reaching(self, rows: Rows, key: ForeignKey, tenant: str, other: str) -> Row | None:
        """Return another row of `tenant` that references a row of `other`, and nothing that it need not reference.

        None if the key has no column for that.
        """
        reference = self.reference(rows, key, other)
        if reference == self.reference(rows, key, tenant):
            return None
        needless = {
            column.name
            for column in self.columns
            if not column.required and any(column.name in each["columns"] for each in self.foreign_keys)
        }
        others = {"1": "2", UUID: ANOTHER_UUID}  # the keys must not collide with those of the first row
        row = {
            name: others.get(value or "", value)
            for name, value in self.sample(rows, tenant).items()
            if name not in needless
        }
        return row | reference

    def reference(self, rows: Rows, key: ForeignKey, tenant: str) -> Row:
        """Return the columns of a foreign key, with the values that reference the row of `tenant`."""
        parent = rows.get((key["table"], tenant), {})
        insertable = self.names("can_insert")
        return {
            here: parent[there]
            for here, there in key["columns"].items()
            if here != self.tenant_column and here in insertable and there in parent
        }

    def example_wanted(self, column: str | None, constraint: str | None) -> str:
        """Return what to do when no row was accepted: the line of an example, with the values that were tried."""
        wanted = [column] if column else self.checks.get(constraint or "", [])
        tried = {each.key: each.sample for each in self.to_insert if each.key in wanted or not wanted}
        values = json.dumps({**self.example, **(tried or dict.fromkeys(wanted, "…"))}, ensure_ascii=False)
        line = f"({literal(self.name)}, {literal(values)})"
        return f"-- Add a row to db/audit/schema/examples.sql, with values that PostgreSQL accepts: {line}"


def _as_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def literal(text: str) -> str:
    """Return a text as SQL."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
