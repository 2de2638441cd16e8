-- A function with a SET clause runs with those settings whoever calls it: as the tenant that app.user_id names, as
-- another role, or with a search_path in which others may create what it then uses.
select
    'function_setting' as name,
    case when parameter in (select setting from audit.contexts) and f.runs then 'error' else 'warning' end as level,
    format('%s: %s', audit.routine(p.oid), parameter) as object,
    format('It runs with %s.', setting) as detail,
    audit.remedy(format('alter routine %s reset %s;', audit.routine(p.oid), (
        select string_agg(quote_ident(part), '.' order by place)
        from string_to_table(written, '.') with ordinality as parts (part, place)
    )), audit.is_ours(p.proowner, p.pronamespace)) as remediation,
    format('function_setting:%s: %s', audit.routine(p.oid), parameter) as key
from pg_proc as p
cross join unnest(p.proconfig) as setting
cross join split_part(setting, '=', 1) as written
cross join lower(written) as parameter
cross join lateral (
    select exists (select from audit.api_roles where has_function_privilege(role, p.oid, 'execute'))
        or exists (select from pg_trigger where tgfoid = p.oid and tgrelid in (select "table" from audit.tables))
        as runs
) as f
where p.proconfig is not null and setting <> 'search_path=""' and p.pronamespace::regnamespace::text !~ '^pg_temp'
    and not audit.in_extension('pg_proc', p.oid)
    -- context_function reports any setting of these.
    and not exists (select from audit.contexts as c where c.function = p.oid and not c.has_argument)
    and (parameter in ('audit.explaining', 'role', 'row_security', 'session_authorization', 'session_replication_role')
        or parameter in (select setting from audit.contexts)
        or parameter = 'search_path' and not p.prosecdef and f.runs
            and audit.open_schemas(setting, p.proowner) is not null);
