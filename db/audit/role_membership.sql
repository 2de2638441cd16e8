-- Members of a role can use its rights, by inheritance or by SET ROLE. app_api must not be a member of a role with
-- attributes such as BYPASSRLS, of one that owns objects here, or of a predefined one, whose rights span the server.
select
    'role_membership' as name,
    case
        when owns or p.attributes && array['SUPERUSER', 'BYPASSRLS', 'CREATEROLE', 'REPLICATION']
            or r.role::text in ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files',
                'pg_write_server_files', 'pg_execute_server_program') then 'error'
        else 'warning'
    end as level,
    r.role::text as object,
    format('app_api is a member of %s, which %s.', r.role, case
        when p.attributes <> '{}' then 'has ' || array_to_string(p.attributes, ', ')
        when r.role::oid < 16384 then 'is predefined and has rights on the whole server'
        else 'owns objects in this database' end) as detail,
    (select string_agg(audit.revocation(direct, api.role), ' ')
        from (select distinct roleid from pg_auth_members where member = api.role) as memberships (direct)
        where pg_has_role(direct, r.role, 'member')) as remediation,
    'role_membership:' || r.role::text as key
from audit.roles as api
cross join unnest(api.member_of) as r (role)
left join (select role, attributes from audit.roles) as p (role, attributes) on p.role = r.role
cross join lateral (
    select exists (
        select from pg_shdepend
        where refclassid = 'pg_authid'::regclass and refobjid = r.role and deptype = 'o'
            and classid <> 'pg_default_acl'::regclass
            and dbid in (0, (select oid from pg_database where datname = current_database()))
    ) as owns
) as o
where api.role = to_regrole('app_api') and (r.role::oid < 16384 or p.attributes <> '{}' or owns);
