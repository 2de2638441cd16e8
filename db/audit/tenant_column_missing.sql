-- Every table that app_api can reach has a column user_id, the tenant that owns the row. A table that belongs to no
-- tenant, such as a list of countries, is an accepted finding: db/audit/schema/accepted.sql.
select
    'tenant_column_missing' as name,
    case when reachable then 'error' else 'warning' end as level,
    audit.name("table") as object,
    'There is no column user_id.' as detail,
    audit.remedy(format('alter table %s add column user_id text not null default app.current_user_id();',
        audit.name(coalesce(pg_partition_root("table"), "table"))), audit.is_ours("table")) as remediation,
    'tenant_column_missing:' || audit.name("table") as key
from audit.tables
where tenant_column is null and (child_of is null or reachable);
