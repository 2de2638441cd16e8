-- What a role may do, its members may do, by inheriting or by SET ROLE. app_api must not reach a role that has
-- powers, that owns anything here, or that is predefined: those rights are for the whole server.
select
    'role_membership' as name,
    case
        when owns or p.powers && array['SUPERUSER', 'BYPASSRLS', 'CREATEROLE', 'REPLICATION']
            or r.role::text in ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files',
                'pg_write_server_files', 'pg_execute_server_program') then 'error'
        else 'warning'
    end as level,
    r.role::text as object,
    format('app_api is a member of %s, which %s.', r.role, case
        when p.powers <> '{}' then 'has ' || array_to_string(p.powers, ', ')
        when r.role::oid < 16384 then 'is predefined and has rights on the whole server'
        else 'owns objects in this database' end) as detail,
    (select string_agg(audit.revocation(direct, api.role), ' ')
        from (select distinct roleid from pg_auth_members where member = api.role) as memberships (direct)
        where pg_has_role(direct, r.role, 'member')) as remediation,
    'role_membership:' || r.role::text as key
from audit.roles as api
cross join unnest(api.member_of) as r (role)
left join (select role, powers from audit.roles) as p (role, powers) on p.role = r.role
cross join lateral (
    select exists (
        select from pg_shdepend
        where refclassid = 'pg_authid'::regclass and refobjid = r.role and deptype = 'o'
            and classid <> 'pg_default_acl'::regclass
            and dbid in (0, (select oid from pg_database where datname = current_database()))
    ) as owns
) as o
where api.role = to_regrole('app_api') and (r.role::oid < 16384 or p.powers <> '{}' or owns);
