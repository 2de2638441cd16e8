-- An owner may switch off row-level security, drop policies and grant itself anything.
select
    'role_owns' as name,
    'error' as level,
    pg_describe_object(classid, objid, objsubid) as object,
    format('app_api owns the %s.', pg_describe_object(classid, objid, objsubid)) as detail,
    'reassign owned by app_api to app_owner;' as remediation,
    'role_owns:' || pg_describe_object(classid, objid, objsubid) as key
from pg_shdepend
where refclassid = 'pg_authid'::regclass and refobjid = to_regrole('app_api') and deptype = 'o'
    and dbid in (0, (select oid from pg_database where datname = current_database()))
    and not exists (select from pg_class where classid = 'pg_class'::regclass and oid = objid and relpersistence = 't');
