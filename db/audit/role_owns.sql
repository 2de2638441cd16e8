-- The owner of a table may disable row-level security, drop policies and grant itself anything.
select
    'role_owns' as name,
    'error' as level,
    format('%s %s', o.type, o.identity) as object,
    format('app_api owns the %s %s.', o.type, o.identity) as detail,
    o.remediation,
    format('role_owns:%s %s', o.type, o.identity) as key
from audit.owned as o
where o.role = to_regrole('app_api') and o.catalog <> 'pg_default_acl'::regclass;
