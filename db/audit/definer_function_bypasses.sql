-- A SECURITY DEFINER function runs as its owner. If no policy binds that owner, the function sees everybody's
-- rows.
select
    'definer_function_bypasses' as name,
    'error' as level,
    audit.routine(p.oid) as object,
    format('app_api may call it, and it runs as %s, whom no policy binds.', p.proowner::regrole) as detail,
    format('alter function %s owner to app_owner;', audit.routine(p.oid)) as remediation,
    'definer_function_bypasses:' || audit.routine(p.oid) as key
from pg_proc as p
join pg_roles as o on o.oid = p.proowner and (o.rolsuper or o.rolbypassrls)
where p.prosecdef and to_regrole('app_api') is not null and has_function_privilege('app_api', p.oid, 'execute')
    and p.pronamespace::regnamespace not in ('pg_catalog', 'information_schema')
    and not audit.in_extension('pg_proc', p.oid);
