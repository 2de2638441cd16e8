"""What `--prove` tries on a table: rows to insert, and statements that reach for the rows of another tenant."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import uuid4

TABLES = r"""
select audit.name(t."table") as name, t.tenant_column is not null as has_tenant, t.child_of is not null as is_child,
    (select json_agg(json_build_object(
            'name', quote_ident(a.attname), 'type', format_type(a.atttypid, a.atttypmod), 'category', y.typcategory,
            'label', (select enumlabel from pg_enum where enumtypid = y.oid order by enumsortorder limit 1),
            'can_select', has_column_privilege(a.attrelid, a.attnum, 'select'),
            'can_insert', not made.by_itself and has_column_privilege(a.attrelid, a.attnum, 'insert'),
            'can_update', not made.by_itself and has_column_privilege(a.attrelid, a.attnum, 'update'),
            'required', a.attnotnull and not a.atthasdef and not made.by_itself,
            'literals', (
                select json_object_agg(conname, array(
                    select coalesce(replace(literal[1], '''''', ''''), literal[2])
                    from regexp_matches(pg_get_constraintdef(oid), '''((?:[^'']|'''')*)''|\m(\d+)\M', 'g') as literal))
                from pg_constraint where conrelid = a.attrelid and contype = 'c' and conkey = array[a.attnum])
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
"""Every table of audit.tables, with what the current role may do with its columns, as the fields of `Table`."""

# A value for a column, by its type or by its type's category, and the number of the row for all others.
# https://www.postgresql.org/docs/18/catalog-pg-type.html#CATALOG-TYPCATEGORY-TABLE
_BY_TYPE = {"uuid": str(uuid4()), "json": "{}", "jsonb": "{}", "bytea": ""}
_BY_CATEGORY = {"A": "{}", "B": "false", "D": "now", "I": "127.0.0.1", "R": "empty", "T": "0"}

NO_CALLER = ""

Row = Mapping[str, str | None]
Rows = Mapping[tuple[str, str], Row]
"""The rows that were inserted, by table and tenant."""


class Try(NamedTuple):
    """One statement to try, and as whom."""

    attempt: str
    caller: str
    statement: str
    values: Row = MappingProxyType({})


class Table(NamedTuple):
    """A table of audit.tables."""

    name: str
    has_tenant: bool
    is_child: bool
    columns: list[dict[str, Any]]
    foreign_keys: list[dict[str, Any]]

    def names(self, privilege: str) -> list[str]:
        """Return the columns that have `privilege`: can_select, can_insert or can_update."""
        return [column["name"] for column in self.columns if column[privilege]]

    def insert(self, row: Row) -> str:
        """Return the statement that inserts `row`, whose values are its parameters."""
        if not row:
            return f"insert into {self.name} default values"
        types = {column["name"]: column["type"] for column in self.columns}
        values = ", ".join(f"${place}::text::{types[name]}" for place, name in enumerate(row, 1))
        return f"insert into {self.name} ({', '.join(row)}) values ({values})"

    def satisfy(self, constraint: str) -> bool:
        """Make the next literal in a CHECK the sample of its column. Return whether there is one."""
        for column in self.columns:
            if column["literals"] and (literals := column["literals"].get(constraint)):
                column["sample"] = literals.pop(0)
                return True
        return False

    def sample(self, rows: Rows, tenant: str, number: int = 1) -> Row:
        """Return a new row: values for columns without a default, references to the rows of `tenant`."""
        row = {
            column["name"]: column.get("sample")
            or column["label"]
            or _BY_TYPE.get(column["type"], _BY_CATEGORY.get(column["category"], str(number)))
            for column in self.columns
            if column["required"] and column["can_insert"]
        }
        for key in self.foreign_keys:
            row |= self.reference(rows, key, tenant)
        return row

    def reference(self, rows: Rows, key: Mapping[str, Any], tenant: str) -> Row:
        """Return the columns of a foreign key, with the values that reference the row of `tenant`."""
        parent = rows.get((key["table"], tenant), {})
        insertable = self.names("can_insert")
        return {
            here: parent[there]
            for here, there in key["columns"].items()
            if here != "user_id" and here in insertable and there in parent
        }


def tries(table: Table, rows: Rows, me: str, other: str) -> Iterator[Try]:
    """Yield what `me`, and a session without a caller, try on the row of `other`."""
    yield from _on_existing_rows(table, me, other)
    if not table.is_child:
        yield from _with_new_rows(table, rows, me, other)


def _on_existing_rows(table: Table, me: str, other: str) -> Iterator[Try]:
    name, mine, others = table.name, f"user_id = '{me}'", f"user_id = '{other}'"
    column = (table.names("can_update") or ["user_id"])[0]
    update = f"update {name} set {column} = {column} where {others}"
    delete = f"delete from {name} where {others}"
    merge = f"merge into {name} using (select) as s on {others} when matched then delete"
    yield Try("read another tenant's row", me, f"select from {name} where {others}")
    yield Try("read all rows but one's own", me, f"select from {name} where ({mine}) is not true limit 1")
    yield Try("lock another tenant's row", me, f"select from {name} where {others} for update")
    yield Try("update another tenant's row", me, update)
    yield Try("move a row to another tenant", me, f"update {name} set user_id = '{other}' where {mine}")
    yield Try("delete another tenant's row", me, delete)
    yield Try("merge into another tenant's row", me, merge)
    yield Try("truncate", me, f"truncate {name}")
    yield Try("read without a caller", NO_CALLER, f"select from {name} where {others}")
    yield Try("update without a caller", NO_CALLER, update)
    yield Try("delete without a caller", NO_CALLER, delete)


def _with_new_rows(table: Table, rows: Rows, me: str, other: str) -> Iterator[Try]:
    row = table.sample(rows, me)
    planted = {**row, "user_id": other}
    yield Try("insert without a caller", NO_CALLER, table.insert(row), row)
    yield Try("insert a row for another tenant", me, table.insert(planted), planted)
    row = table.sample(rows, me, number=2)  # its keys must not collide with those of the first row
    for key in table.foreign_keys:
        reaching = {**row, **table.reference(rows, key, other)}
        if reaching != row:
            yield Try(f"reference another tenant's row in {key['table']}", me, table.insert(reaching), reaching)
