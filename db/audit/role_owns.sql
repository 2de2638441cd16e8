-- The owner of a table may disable row-level security, drop policies and grant itself anything.
select
    'role_owns' as name,
    'error' as level,
    format('%s %s', o.type, o.identity) as object,
    format('app_api owns the %s %s.', o.type, o.identity) as detail,
    -- What ran with the rights of app_api must not run with those of app_owner afterwards.
    case
        when (select prosecdef from pg_proc where classid = 'pg_proc'::regclass and oid = objid)
            then format('alter routine %s security invoker; ', o.identity)
        when o.type = 'view' then format('alter view %s set (security_invoker = true); ', o.identity)
        else ''
    end || format('alter %s %s owner to app_owner;',
        replace(o.type, 'statistics object', 'statistics'), o.identity) as remediation,
    format('role_owns:%s %s', o.type, o.identity) as key
from pg_shdepend
cross join pg_identify_object(classid, objid, objsubid) as o
where refclassid = 'pg_authid'::regclass and refobjid = to_regrole('app_api') and deptype = 'o'
    and dbid in (0, (select oid from pg_database where datname = current_database()))
    and classid not in ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
    and o.schema is distinct from 'pg_temp' and o.identity !~ '^pg_temp';
