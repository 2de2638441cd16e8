-- A SECURITY DEFINER function without a search_path of its own resolves names by its caller's: the caller chooses
-- which objects are used with the owner's rights.
select
    'definer_function_search_path' as name,
    'warning' as level,
    audit.routine(p.oid) as object,
    'It runs as its owner, but resolves names by its caller''s search_path.' as detail,
    format('alter routine %s set search_path = pg_catalog, pg_temp;', audit.routine(p.oid)) as remediation,
    'definer_function_search_path:' || audit.routine(p.oid) as key
from pg_proc as p
where p.prosecdef and p.pronamespace::regnamespace::text !~ '^(pg_|information_schema$)'
    and not audit.in_extension('pg_proc', p.oid)
    and not exists (select from unnest(p.proconfig) as setting where setting like 'search\_path=%');
