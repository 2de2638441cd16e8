-- What a role may do, its members may do, by inheriting or by SET ROLE. app_api must not reach a role that has
-- powers, that owns anything here, or that is predefined: those rights are for the whole server.
select
    'role_membership' as name,
    'error' as level,
    r.role::text as object,
    format('app_api is a member of %s, which %s.', r.role, case
        when r.role::text ~ '^pg_' then 'is predefined and has rights on the whole server'
        when powers.list is not null then 'has ' || powers.list
        else 'owns objects in this database' end) as detail,
    (select string_agg(format('revoke %s from app_api;', roleid::regrole), ' ')
        from pg_auth_members
        where member = to_regrole('app_api') and pg_has_role(roleid, r.role, 'member')) as remediation,
    'role_membership:' || r.role::text as key
from audit.api_roles as r
left join (select role, nullif(array_to_string(powers, ', '), '') as list from audit.roles) as powers on powers.role = r.role
where r.role <> to_regrole('app_api')
    and (r.role::text ~ '^pg_' or powers.list is not null or exists (
        select from pg_shdepend
        where refclassid = 'pg_authid'::regclass and refobjid = r.role and deptype = 'o'
            and dbid in (0, (select oid from pg_database where datname = current_database()))
    ));
