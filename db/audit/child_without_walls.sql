-- The policies of a partitioned table or of an inheritance parent are not looked at when the child is named in a
-- query. https://www.postgresql.org/docs/18/ddl-inherit.html
select
    'child_without_walls' as name,
    case when reachable and not rls_enabled then 'error' else 'warning' end as level,
    audit.name("table") as object,
    format('A child of %s whose own row-level security is not %s.', audit.name(child_of),
        case when rls_enabled then 'forced' else 'on' end) as detail,
    format('alter table %s enable row level security, force row level security;', audit.name("table")) as remediation,
    'child_without_walls:' || audit.name("table") as key
from audit.tables
where child_of is not null and not (rls_enabled and rls_forced);
