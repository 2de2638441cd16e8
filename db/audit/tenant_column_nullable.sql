-- A row whose tenant is null belongs to nobody: no policy shows it, so the API can neither read nor delete it.
select
    'tenant_column_nullable' as name,
    'warning' as level,
    audit.name("table") || '.' || tenant_column as object,
    'The column may be null.' as detail,
    audit.remedy(format('alter table %s alter column %I set not null;', audit.name("table"), tenant_column),
        audit.is_ours("table")) as remediation,
    'tenant_column_nullable:' || audit.name("table") || '.' || tenant_column as key
from audit.tables
join pg_attribute on attrelid = "table" and attname = tenant_column
where not attnotnull;
