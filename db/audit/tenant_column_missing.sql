-- Every table that app_api can reach has a column that says which tenant owns the row: user_id, or another of
-- audit.tenants. A table that belongs to no tenant, such as a list of countries, is an accepted finding:
-- db/audit/schema/accepted.sql.
select
    'tenant_column_missing' as name,
    case when reachable then 'error' else 'warning' end as level,
    audit.name("table") as object,
    format('There is no column %s.', kinds.columns) as detail,
    audit.remedy(format('alter table %s add column %s;', audit.name(coalesce(pg_partition_root("table"), "table")),
        kinds.first), audit.is_ours("table")) as remediation,
    'tenant_column_missing:' || audit.name("table") as key
from audit.tables
cross join (
    select
        string_agg("column", ' or ' order by place) as columns,
        min(format('%I %s not null default %s', "column", type_name, call)) filter (where place = 1) as first
    from audit.contexts
) as kinds
where tenant_column is null and (child_of is null or reachable);
