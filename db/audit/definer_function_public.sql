-- PUBLIC may execute every new function unless that is revoked. EXECUTE on a function that runs with its owner's
-- rights is granted to named roles only. Those of others are reported if app_api can make them run.
select
    'definer_function_public' as name,
    'warning' as level,
    audit.routine(p.oid) as object,
    format('Every role may execute it, and it runs as %s.', p.proowner::regrole) as detail,
    -- EXECUTE on a trigger's function is checked when the trigger is created, not when it fires.
    audit.remedy(format('revoke execute on routine %s from public;', audit.routine(p.oid)),
        p.prorettype = 'trigger'::regtype or audit.is_ours(p.proowner, p.pronamespace)) as remediation,
    'definer_function_public:' || audit.routine(p.oid) as key
from pg_proc as p
where p.prosecdef and p.pronamespace::regnamespace::text !~ '^pg_temp'
    and not audit.in_extension('pg_proc', p.oid)
    and (audit.is_ours(p.proowner, p.pronamespace)
        or exists (select from audit.api_roles where has_schema_privilege(role, p.pronamespace, 'usage'))
        or p.oid in (select function from audit.definer_functions where in_reach))
    and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) where grantee = 0);
