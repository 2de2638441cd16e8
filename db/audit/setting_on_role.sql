-- A session starts with the settings of its role and its database. app.user_id set there would make everybody the same
-- caller, and role would make the login somebody else; with row_security = off, policies raise errors. Other settings
-- (timeouts, time zone) are no risk.
select
    'setting_on_role' as name,
    case
        when lower(parameter) in ('app.user_id', 'role', 'session_authorization')
            and s.setrole in (0, to_regrole('app_api')) then 'error'
        else 'warning'
    end as level,
    format('%s on %s', lower(parameter), target) as object,
    format('Sessions start with %s.', setting) as detail,
    format('alter %s reset %s;', target, (
        select string_agg(quote_ident(part), '.' order by place)
        from string_to_table(parameter, '.') with ordinality as parts (part, place)
    )) as remediation,
    format('setting_on_role:%s on %s', lower(parameter), target) as key
from pg_db_role_setting as s
cross join unnest(s.setconfig) as setting
cross join split_part(setting, '=', 1) as parameter
cross join lateral (
    select case
        when s.setrole = 0 and s.setdatabase = 0 then 'role all'
        when s.setrole = 0 then format('database %I', current_database())
        else format('role %s%s', s.setrole::regrole,
            case when s.setdatabase = 0 then '' else format(' in database %I', current_database()) end)
    end as target
) as targets
where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
    and lower(parameter) in ('app.user_id', 'audit.explaining', 'role', 'row_security', 'session_authorization',
        'session_replication_role');
