-- A superuser and a role with BYPASSRLS pass every policy; CREATEROLE and REPLICATION lead around them, and
-- CREATEDB is a right without a use. For an owner with BYPASSRLS, FORCE means nothing.
-- https://www.postgresql.org/docs/18/ddl-rowsecurity.html
select
    'role_power' as name,
    case when r.role = to_regrole('app_api') and power <> 'CREATEDB' then 'error' else 'warning' end as level,
    r.role::text || ' ' || power as object,
    format('%s has %s.', r.role, power) as detail,
    format('alter role %s no%s;', r.role, lower(power)) as remediation,
    'role_power:' || r.role::text || ' ' || power as key
from audit.roles as r, unnest(r.powers) as power
where r.role in (to_regrole('app_api'), to_regrole('app_auditor'))
    or r.role in (to_regrole('app_owner'), to_regrole('app_migrator')) and power in ('SUPERUSER', 'BYPASSRLS');
