-- A session starts with the settings of its role and its database. app.user_id, or the setting of another tenant, would
-- make everybody the same caller there, and role would make the login somebody else; with row_security = off, policies
-- raise errors. search_path decides which of two functions or operators is meant (each transaction of the API sets its
-- own), standard_conforming_strings where a literal ends; libraries run code. Other settings (timeouts, time zone, the
-- planner's) are no risk.
select
    'setting_on_role' as name,
    case
        when parameter = 'search_path' and s.setrole = 0 and not exists (
            select from unnest(array['app_api', 'app_migrator', 'app_auditor']) as login
            where not exists (
                select from pg_db_role_setting as own, unnest(own.setconfig) as path
                where own.setrole = to_regrole(login) and path like 'search\_path=%'
            )
        ) then 'info'
        when (parameter in ('role', 'session_authorization') or parameter in (select setting from audit.contexts))
            and s.setrole in (0, to_regrole('app_api')) then 'error'
        else 'warning'
    end as level,
    format('%s on %s', parameter, target) as object,
    format('Sessions start with %s.', setting) as detail,
    case
        when parameter = 'search_path' and s.setrole <> 0 and s.setdatabase = 0
            then format('alter %s set search_path = '''';', target)
        else audit.remedy(format('alter %s reset %s;', target, (
            select string_agg(quote_ident(part), '.' order by place)
            from string_to_table(written, '.') with ordinality as parts (part, place)
        )), s.setrole <> 0 or parameter <> 'search_path')
    end as remediation,
    format('setting_on_role:%s on %s', parameter, target) as key
from pg_db_role_setting as s
cross join unnest(s.setconfig) as setting
cross join split_part(setting, '=', 1) as written
cross join lower(written) as parameter
cross join lateral (
    select case
        when s.setrole = 0 and s.setdatabase = 0 then 'role all'
        when s.setrole = 0 then format('database %I', current_database())
        else format('role %s%s', s.setrole::regrole,
            case when s.setdatabase = 0 then '' else format(' in database %I', current_database()) end)
    end as target
) as targets
where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
    and (parameter in ('audit.explaining', 'role', 'row_security', 'session_authorization', 'session_replication_role')
        or parameter in (select setting from audit.contexts)
        or (s.setrole = 0 or s.setrole in (select role from audit.api_roles)
                or s.setrole in (to_regrole('app_owner'), to_regrole('app_migrator'), to_regrole('app_auditor')))
            and (parameter in ('session_preload_libraries', 'local_preload_libraries', 'dynamic_library_path',
                    'lo_compat_privileges')
                or lower(setting) = 'standard_conforming_strings=off'
                or parameter = 'search_path' and setting not in ('search_path=', 'search_path=""')));
