"""What the catalogs say of the tables that `--prove` tries, and of what a role may do with their columns."""

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from db.audit.rows import Column, Table
from db.audit.samples import guesses

TABLES = r"""
select audit.name(t."table") as name, quote_ident(t.tenant_column) as tenant_column,
    (select setting from audit.contexts where "column" = t.tenant_column) as setting,
    audit.name(t.child_of) as child_of,
    exists (select from audit.accepted where key = 'tenant_column_missing:' || audit.name(t."table")) as is_shared,
    exists (select from audit.member_rights as r where r."table" = audit.name(t."table") and lists <> '') as is_listed,
    has_table_privilege($1::text::oid, t."table", 'select, insert, update, delete, truncate')
        or has_any_column_privilege($1::text::oid, t."table", 'select, insert, update') as reachable,
    has_any_column_privilege($1::text::oid, t."table", 'insert') as can_insert,
    has_table_privilege($1::text::oid, t."table", 'delete') as can_delete,
    exists (
        select from pg_partitioned_table as p
        join pg_attribute as a on a.attrelid = p.partrelid and a.attnum = any (p.partattrs)
        where p.partrelid = t."table" and a.attname = t.tenant_column and p.partstrat = 'l'
    ) as lists_tenants,
    exists (
        select from pg_depend as d
        where d.classid = 'pg_class'::regclass and d.objid = t."table" and d.deptype = 'n'
            and d.refclassid = 'pg_extension'::regclass
            and d.refobjid = (select oid from pg_extension where extname = 'citus')
    ) as is_distributed,
    (
        with recursive leaves (oid) as (
            select t."table"::oid
            union
            select inhrelid from leaves join pg_inherits on inhparent = leaves.oid
        )
        select case when bool_and(relkind <> 'f')
            then coalesce(json_agg(oid::bigint) filter (where relkind = 'r'), '[]') end
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
