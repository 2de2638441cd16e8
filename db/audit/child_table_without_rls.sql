-- A query that names a partition or an inheritance child directly is subject to that table's own row-level security,
-- not to its parent's. It needs a privilege on that table, a query of the parent does not.
-- https://www.postgresql.org/docs/18/ddl-inherit.html
select
    'child_table_without_rls' as name,
    case when rls_enabled then 'warning' else 'error' end as level,
    audit.name("table") as object,
    format('Row-level security is not %s on this child table of %s.',
        case when rls_enabled then 'forced' else 'enabled' end, audit.name(child_of)) as detail,
    audit.remedy(format('alter table %s enable row level security, force row level security;', audit.name("table")),
        audit.is_ours("table")) as remediation,
    'child_table_without_rls:' || audit.name("table") as key
from audit.tables
where child_of is not null and reachable and not (rls_enabled and rls_forced);
