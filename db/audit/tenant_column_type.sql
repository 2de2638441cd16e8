-- Two tenants whose ids are different strings must never be equal in the tenant column: they would share their rows,
-- their keys and their references. They are in char(n), citext, numbers with fractions, dates, booleans, and under a
-- nondeterministic collation of the column or of an index.
select
    'tenant_column_type' as name,
    case when y.oid is null then 'warning' else 'error' end as level,
    audit.name(t."table") || '.' || quote_ident(t.tenant_column) as object,
    case
        when y.oid is not null
            then format('Ids that are different strings can be equal as %s.', format_type(y.oid, null))
        else format('Ids that are different strings can be equal in %s: its collation is not deterministic.', uses.list)
    end as detail,
    audit.advice(format('See which ids collide, drop the policies, then: alter table %s alter column %I type '
        '%s%s;', audit.name(t."table"), t.tenant_column, kind.type_name,
        case kind.type_name when 'text' then ' collate "C"' end)) as remediation,
    'tenant_column_type:' || audit.name(t."table") || '.' || quote_ident(t.tenant_column) as key
from audit.tables as t
join audit.contexts as kind on kind."column" = t.tenant_column
join pg_attribute as a on a.attrelid = t."table" and a.attname = t.tenant_column
join pg_type as own on own.oid = a.atttypid
left join lateral (
    with recursive bases (base) as (
        select own.typbasetype where own.typtype = 'd'
        union all
        select typbasetype from bases join pg_type on oid = base and typtype = 'd'
    )
    select base from bases join pg_type on oid = base and typtype <> 'd'
) as b on true
left join pg_type as y on y.oid = coalesce(b.base, a.atttypid) and y.typtype not in ('d', 'e')
    and y.oid not in ('text'::regtype, 'varchar'::regtype, 'uuid'::regtype, 'bytea'::regtype, 'bigint'::regtype,
        'integer'::regtype, 'smallint'::regtype)
cross join lateral (
    select string_agg(distinct use, ', ') as list
    from (
        select 'the column', a.attcollation
        union all
        select audit.name(indexrelid), k.under
        from pg_index, unnest(indkey::int2[], indcollation::oid[]) as k (attnum, under)
        where indrelid = t."table" and k.attnum = a.attnum
    ) as collated (use, under)
    join pg_collation as c on c.oid = collated.under and not c.collisdeterministic
) as uses
where (t.child_of is null or t.reachable) and (y.oid is not null or uses.list is not null);
