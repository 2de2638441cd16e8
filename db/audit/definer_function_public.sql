-- PUBLIC may execute every new function unless that is revoked. EXECUTE on a function that runs with its owner's
-- rights is granted to named roles only.
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
    and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) where grantee = 0);
