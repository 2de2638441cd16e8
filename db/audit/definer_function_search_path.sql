-- A SECURITY DEFINER function resolves names by its caller's search_path unless it has one of its own: the caller
-- chooses which objects are used with the owner's rights. So does whoever may create objects in a schema of that path.
select
    'definer_function_search_path' as name,
    'warning' as level,
    audit.routine(p.oid) as object,
    case when path.setting is null then 'It runs as its owner, but resolves names by its caller''s search_path.'
        else format('It runs as %s, and others may create objects in its search_path, in %s.', p.proowner::regrole,
            path.open) end as detail,
    audit.remedy(format('alter routine %s set search_path = pg_catalog, %s, pg_temp;', audit.routine(p.oid),
        case when n.nspname = 'pg_catalog' then 'app' else quote_ident(n.nspname) end),
        audit.is_ours(p.proowner, p.pronamespace)) as remediation,
    'definer_function_search_path:' || audit.routine(p.oid) as key
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
cross join lateral (
    select min(setting) as setting, audit.open_schemas(min(setting), p.proowner) as open
    from unnest(p.proconfig) as setting where setting like 'search\_path=%'
) as path
where p.prosecdef and n.nspname !~ '^pg_temp' and not audit.in_extension('pg_proc', p.oid)
    and (audit.is_ours(p.proowner, p.pronamespace)
        or exists (select from audit.api_roles where has_schema_privilege(role, p.pronamespace, 'usage'))
        or p.oid in (select function from audit.definer_functions where in_reach))
    and (path.setting is null or path.open is not null);
