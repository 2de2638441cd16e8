-- While row-level security is disabled the policies are ignored: every grant covers the rows of all tenants.
select
    'rls_disabled' as name,
    case when reachable then 'error' else 'warning' end as level,
    audit.name("table") as object,
    'Row-level security is disabled.' as detail,
    audit.remedy(format('alter table %s enable row level security%s;', audit.name("table"),
        case when rls_forced then '' else ', force row level security' end), audit.is_ours("table")) as remediation,
    'rls_disabled:' || audit.name("table") as key
from audit.tables
where not rls_enabled and child_of is null;
