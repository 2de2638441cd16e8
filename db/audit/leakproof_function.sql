-- A function marked LEAKPROOF runs ahead of the policies, on rows that the caller may not see. What it tells by
-- raising an error, it tells about those.
select
    'leakproof_function' as name,
    'warning' as level,
    audit.routine(p.oid) as object,
    'It is marked LEAKPROOF: it runs on rows before any policy does.' as detail,
    format('alter function %s not leakproof;', audit.routine(p.oid)) as remediation,
    'leakproof_function:' || audit.routine(p.oid) as key
from pg_proc as p
where p.proleakproof and p.pronamespace::regnamespace::text !~ '^(pg_|information_schema$)'
    and not audit.in_extension('pg_proc', p.oid);
