"""The tables that `--prove` tries, what a role may do with their columns, and the rows that it makes up for them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from db.audit.samples import ANOTHER_UUID, UUID, guesses

TABLES = r"""
select audit.name(t."table") as name, t.tenant_column is not null as has_tenant, audit.name(t.child_of) as child_of,
    exists (select from audit.accepted where key = 'tenant_column_missing:' || audit.name(t."table")) as is_shared,
    has_table_privilege($1::text::oid, t."table", 'select, insert, update, delete, truncate')
        or has_any_column_privilege($1::text::oid, t."table", 'select, insert, update') as reachable,
    has_any_column_privilege($1::text::oid, t."table", 'insert') as can_insert,
    exists (
        select from pg_partitioned_table as p
        join pg_attribute as a on a.attrelid = p.partrelid and a.attnum = any (p.partattrs)
        where p.partrelid = t."table" and a.attname = t.tenant_column and p.partstrat = 'l'
    ) as lists_tenants,
    (
        with recursive leaves (oid) as (
            select t."table"::oid
            union
            select inhrelid from leaves join pg_inherits on inhparent = leaves.oid
        )
        select case when bool_and(relkind <> 'f') then json_agg(oid::bigint) filter (where relkind = 'r') end
        from leaves join pg_class using (oid)
    ) as leaves,
    (select coalesce(json_agg(json_build_object(
            'name', quote_ident(a.attname), 'key', a.attname,
            'type', format_type(a.atttypid, a.atttypmod), 'base', format_type(base.oid, base.modifier),
            'category', y.typcategory,
            'labels', array(select enumlabel from pg_enum where enumtypid = base.oid order by enumsortorder),
            'can_select', has_column_privilege($1::text::oid, a.attrelid, a.attnum, 'select'),
            'can_insert', not made.by_itself and has_column_privilege($1::text::oid, a.attrelid, a.attnum, 'insert'),
            'can_update', not made.by_itself and has_column_privilege($1::text::oid, a.attrelid, a.attnum, 'update'),
            'can_name', not made.by_itself,
            'required', (a.attnotnull or base.not_null) and not a.atthasdef and not made.by_itself,
            'literals', array(
                select coalesce(replace(literal[1], '''''', ''''), literal[2])
                from (
                    select pg_get_constraintdef(c.oid) as definition from pg_constraint as c
                    where c.contype = 'c' and c.conrelid = a.attrelid and a.attnum = any (c.conkey)
                    union all
                    select pg_get_constraintdef(c.oid) from pg_constraint as c
                    where c.contype = 'c' and c.contypid = any (base.domains)
                    union all
                    select pg_get_expr(partition.relpartbound, partition.oid) from pg_partitioned_table as p
                    join pg_inherits on inhparent = p.partrelid join pg_class as partition on partition.oid = inhrelid
                    where p.partrelid = a.attrelid and a.attnum = any (p.partattrs)
                ) as definitions
                cross join regexp_matches(definition, '''((?:[^'']|'''')*)''|\m(\d+)\M', 'g') as literal)
        ) order by a.attnum), '[]')
        from pg_attribute as a
        join pg_type as y on y.oid = a.atttypid
        cross join lateral (select a.attidentity = 'a' or a.attgenerated <> '' as by_itself) as made
        cross join lateral (
            with recursive types (oid, modifier, not_null, domains) as (
                select a.atttypid, a.atttypmod, false, '{}'::oid[]
                union all
                select d.typbasetype, d.typtypmod, not_null or d.typnotnull, domains || d.oid
                from types join pg_type as d on d.oid = types.oid and d.typtype = 'd'
            )
            select * from types order by cardinality(domains) desc limit 1
        ) as base
        where a.attrelid = t."table" and a.attnum > 0 and not a.attisdropped) as columns,
    (select coalesce(json_object_agg(conname, attributes), '{}') from (
        select c.conname, array(select attname from pg_attribute
            where attrelid = c.conrelid and attnum = any (c.conkey)) as attributes
        from pg_constraint as c where c.conrelid = t."table" and c.contype = 'c'
        union all
        select '', array(select attname from pg_attribute where attrelid = p.partrelid and attnum = any (p.partattrs))
        from pg_partitioned_table as p where p.partrelid = t."table"
    ) as checks) as checks,
    (select coalesce(json_agg(json_build_object('table', audit.name(f.confrelid), 'columns', (
            select json_object_agg(quote_ident(here.attname), quote_ident(there.attname))
            from unnest(f.conkey, f.confkey) as pair (here, there)
            join pg_attribute as here on here.attrelid = f.conrelid and here.attnum = pair.here
            join pg_attribute as there on there.attrelid = f.confrelid and there.attnum = pair.there
        ))), '[]')
        from pg_constraint as f join audit.tables as p on p."table" = f.confrelid
        where f.conrelid = t."table" and f.contype = 'f' and f.conparentid = 0) as foreign_keys,
    (select "row" from audit.examples as e where e."table" = audit.name(t."table") limit 1) as example
from audit.tables as t
order by 1
"""
"""Every table of audit.tables, with what the role $1 may do with its columns, as the fields of `Table`."""

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


@dataclass(eq=False)
class Table:
    """A table of audit.tables, as one role may use it."""

    name: str
    has_tenant: bool
    child_of: str | None
    is_shared: bool
    reachable: bool
    can_insert: bool
    lists_tenants: bool
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
        return self.has_tenant and self.can_insert and not self.child_of

    @property
    def to_insert(self) -> list[Column]:
        """The columns for which a new row needs a value that is guessed."""
        return [each for each in self.columns if each.required and each.can_insert and each.key not in self.example]

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

    def sample(self, rows: Rows, tenant: str) -> Row:
        """Return a new row: values for columns without a default, references to the rows of `tenant`."""
        row: Row = {column.name: column.sample for column in self.to_insert}
        for key in self.foreign_keys:
            row |= self.reference(rows, key, tenant)
        return row | {
            column.name: _as_text(self.example[column.key])
            for column in self.columns
            if column.key in self.example and column.key != "user_id" and column.can_insert
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
            if here != "user_id" and here in insertable and there in parent
        }

    def example_wanted(self, column: str | None, constraint: str | None) -> str:
        """Return what to do when no row was accepted: the line of an example, with the values that were tried."""
        wanted = [column] if column else self.checks.get(constraint or "", [])
        tried = {each.key: each.sample for each in self.to_insert if each.key in wanted or not wanted}
        values = json.dumps({**self.example, **(tried or dict.fromkeys(wanted, "…"))}, ensure_ascii=False)
        line = f"({_literal(self.name)}, {_literal(values)})"
        return f"-- Add a row to db/audit/schema/examples.sql, with values that PostgreSQL accepts: {line}"


def tables_of(records: Sequence[asyncpg.Record]) -> list[Table]:
    """Return the rows of TABLES."""
    tables = {record["name"]: _table(record) for record in records}
    for table in tables.values():
        root = table
        while root.child_of in tables:
            root = tables[root.child_of]
        table.root = root.name
    return [*tables.values()]


def _table(record: asyncpg.Record) -> Table:
    fields = dict(record)
    columns, example = json.loads(fields.pop("columns")), json.loads(fields.pop("example") or "{}")
    decoded = {name: json.loads(fields.pop(name) or "null") for name in ("leaves", "checks", "foreign_keys")}
    return Table(columns=[_column(column) for column in columns], example=example, **decoded, **fields)


def _column(fields: dict[str, Any]) -> Column:
    known = [fields.pop(name) for name in ("base", "category", "labels", "literals")]
    return Column(guesses=guesses(*known), **fields)


def _as_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _literal(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
