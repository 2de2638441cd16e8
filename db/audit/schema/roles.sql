-- app_owner is left out: if app_api is a member of it, that is one finding, role_membership, and not one more for each
-- right that an owner has.
create or replace view audit.api_roles as
select r.oid::regrole as role
from pg_roles as api
join pg_roles as r on r.oid = api.oid or not api.rolsuper and pg_has_role(api.oid, r.oid, 'member')
where api.rolname = 'app_api' and r.rolname <> 'app_owner';

comment on view audit.api_roles is
    'app_api and every role that it is a member of, directly or through other roles, except app_owner.';

create or replace view audit.owned as
select
    r.role,
    s.classid::regclass as catalog,
    o.type,
    o.identity,
    -- What ran with the rights of its owner must not run with those of app_owner afterwards.
    case
        when s.classid = 'pg_default_acl'::regclass then format('reassign owned by %s to app_owner;', r.role)
        else case
            when (select prosecdef from pg_proc where s.classid = 'pg_proc'::regclass and oid = s.objid)
                then format('alter routine %s security invoker; ', o.identity)
            when o.type = 'view' then format('alter view %s set (security_invoker = true); ', o.identity)
            else ''
        end || format('alter %s %s owner to app_owner;',
            replace(o.type, 'statistics object', 'statistics'), o.identity)
    end as remediation
from pg_shdepend as s
join audit.api_roles as r on r.role = s.refobjid
cross join lateral pg_identify_object(s.classid, s.objid, s.objsubid) as o
where s.refclassid = 'pg_authid'::regclass and s.deptype = 'o'
    and s.dbid in (0, (select oid from pg_database where datname = current_database()))
    and s.classid <> 'pg_user_mapping'::regclass
    and o.schema is distinct from 'pg_temp' and o.identity !~ '^pg_temp';

comment on view audit.owned is 'What the roles in audit.api_roles own, and the SQL that gives it to app_owner.';

create or replace view audit.roles as
with recursive memberships (role, member_of) as (
    select member, roleid from pg_auth_members
    union
    select role, roleid from memberships join pg_auth_members on member = member_of
)
select
    r.oid::regrole as role,
    r.rolcanlogin as can_login,
    array_remove(array[
        case when r.rolsuper then 'SUPERUSER' end,
        case when r.rolbypassrls then 'BYPASSRLS' end,
        case when r.rolcreaterole then 'CREATEROLE' end,
        case when r.rolcreatedb then 'CREATEDB' end,
        case when r.rolreplication then 'REPLICATION' end
    ], null) as attributes,
    array(select member_of::regrole from memberships where role = r.oid order by 1) as member_of,
    (select coalesce(array_agg(setting order by setting), '{}')
        from pg_db_role_setting as s, unnest(s.setconfig) as setting
        where s.setrole = r.oid
            and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
    ) as settings,
    shobj_description(r.oid, 'pg_authid') as description
from pg_roles as r
where r.oid >= 16384 or r.rolsuper;

comment on view audit.roles is
    'Every role of the server that is not predefined: its attributes, its memberships and its settings.';
comment on column audit.roles.attributes is 'Those that bypass row-level security or can be a way around it.';
comment on column audit.roles.member_of is 'The roles that it is a member of, directly or through other roles.';
comment on column audit.roles.settings is 'What its sessions start with in this database.';

-- Since PostgreSQL 16 a membership has a grantor, and REVOKE must name the same one.
create or replace function audit.revocation(of_role oid, member oid) returns text
language sql stable strict parallel safe
set search_path = ''
as $$
    select string_agg(format('revoke %s from %s%s;', m.roleid::regrole, m.member::regrole,
        (select ' granted by ' || m.grantor::regrole from pg_roles where oid = m.grantor)), ' ')
    from pg_auth_members as m
    where m.roleid = of_role and m.member = revocation.member
$$;

comment on function audit.revocation(oid, oid) is 'The SQL that ends a direct membership in a role.';
