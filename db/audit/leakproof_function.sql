-- A function marked LEAKPROOF may run before the policies, on rows that the caller must not see. If it is not truly
-- leakproof, its errors and its timing reveal their values.
select
    'leakproof_function' as name,
    'warning' as level,
    audit.routine(p.oid) as object,
    'It is marked LEAKPROOF: it may run on rows before the policies do.' as detail,
    audit.remedy(format('alter function %s not leakproof;', audit.routine(p.oid)),
        audit.is_ours(p.proowner, p.pronamespace)) as remediation,
    'leakproof_function:' || audit.routine(p.oid) as key
from pg_proc as p
where p.proleakproof and p.oid >= 16384 and p.pronamespace::regnamespace::text !~ '^pg_temp'
    and not audit.in_extension('pg_proc', p.oid);
