-- A SECURITY DEFINER function runs as its owner. If that owner bypasses row-level security, so does whoever calls the
-- function.
select
    'definer_function_bypasses_rls' as name,
    case when called.by_name then 'error' else 'warning' end as level,
    audit.routine(p.oid) as object,
    format('app_api may execute it%s, and it runs as %s, who bypasses row-level security.',
        case when called.by_name then '' else ' (but has no USAGE on its schema)' end, p.proowner::regrole) as detail,
    format('alter routine %s owner to app_owner;', audit.routine(p.oid)) as remediation,
    'definer_function_bypasses_rls:' || audit.routine(p.oid) as key
from pg_proc as p
join pg_roles as o on o.oid = p.proowner and (o.rolsuper or o.rolbypassrls)
cross join lateral (
    select bool_or(has_schema_privilege(role, p.pronamespace, 'usage')) as by_name
    from audit.api_roles
    where has_function_privilege(role, p.oid, 'execute')
) as called
where p.prosecdef and called.by_name is not null
    and p.pronamespace::regnamespace::text !~ '^(pg_|information_schema$)'
    and not audit.in_extension('pg_proc', p.oid);
