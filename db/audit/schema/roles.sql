-- app_api and every role that it is a member of, directly or through others: what it can act as.
create or replace view audit.api_roles as
with recursive api_roles (role) as (
    select to_regrole('app_api') where to_regrole('app_api') is not null
    union
    select roleid::regrole from pg_auth_members join api_roles on member = role
)
select role from api_roles;

comment on view audit.api_roles is 'app_api and every role that it can act as.';

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
    ], null) as powers,
    array(select member_of::regrole from memberships where role = r.oid order by 1) as member_of,
    (select coalesce(array_agg(setting order by setting), '{}')
        from pg_db_role_setting as s, unnest(s.setconfig) as setting
        where s.setrole = r.oid and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
    ) as settings,
    shobj_description(r.oid, 'pg_authid') as description
from pg_roles as r
where r.oid >= 16384 or r.rolsuper;

comment on view audit.roles is
    'Every role of the server that is not predefined: its powers, what it is a member of (also through others), and
the settings it starts with.';
