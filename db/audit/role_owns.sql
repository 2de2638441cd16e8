-- The owner of a table may disable row-level security, drop policies and grant itself anything.
select
    'role_owns' as name,
    'error' as level,
    format('%s %s', o.type, o.identity) as object,
    format('app_api owns the %s %s.', o.type, o.identity) as detail,
    'reassign owned by app_api to app_owner;' as remediation,
    format('role_owns:%s %s', o.type, o.identity) as key
from pg_shdepend
cross join pg_identify_object(classid, objid, objsubid) as o
where refclassid = 'pg_authid'::regclass and refobjid = to_regrole('app_api') and deptype = 'o'
    and dbid in (0, (select oid from pg_database where datname = current_database()))
    and classid <> 'pg_default_acl'::regclass and o.schema is distinct from 'pg_temp' and o.identity !~ '^pg_temp';
