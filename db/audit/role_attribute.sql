-- SUPERUSER and BYPASSRLS bypass every policy, even on a table that forces row-level security on its owner. CREATEROLE
-- and REPLICATION are ways around policies; CREATEDB is a right that nothing needs.
-- https://www.postgresql.org/docs/18/ddl-rowsecurity.html
select
    'role_attribute' as name,
    case when r.role = to_regrole('app_api') and attribute <> 'CREATEDB' then 'error' else 'warning' end as level,
    r.role::text || ' ' || attribute as object,
    format('%s has %s.', r.role, attribute) as detail,
    format('alter role %s no%s;', r.role, lower(attribute)) as remediation,
    'role_attribute:' || r.role::text || ' ' || attribute as key
from audit.roles as r, unnest(r.attributes) as attribute
where r.role in (to_regrole('app_api'), to_regrole('app_auditor'))
    or r.role in (to_regrole('app_owner'), to_regrole('app_migrator')) and attribute in ('SUPERUSER', 'BYPASSRLS');
