-- A row whose tenant is null belongs to nobody: no policy shows it, so the API can neither read nor delete it.
select
    'tenant_column_nullable' as name,
    'warning' as level,
    audit.name("table") || '.' || quote_ident(tenant_column) as object,
    case when attnotnull then 'The column may be null in rows that were there before its NOT NULL.'
        else 'The column may be null.' end as detail,
    audit.remedy(format('alter table %s %s;', audit.name("table"), case when attnotnull
            then format('validate constraint %I', n.conname)
            else format('alter column %I set not null', tenant_column) end),
        audit.is_ours("table")) as remediation,
    'tenant_column_nullable:' || audit.name("table") || '.' || quote_ident(tenant_column) as key
from audit.tables
join pg_attribute on attrelid = "table" and attname = tenant_column
-- Since PostgreSQL 18 a NOT NULL can be NOT VALID.
left join pg_constraint as n on n.conrelid = "table" and n.contype = 'n' and n.conkey = array[attnum]
    and not n.convalidated
where (child_of is null or reachable) and (not attnotnull or n.oid is not null);
