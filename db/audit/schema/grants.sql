-- What a role owns, it has all privileges on; these are the granted ones. reaches_api covers what app_api inherits and
-- what it has after SET ROLE, except as app_owner: that membership is a finding itself.
create or replace view audit.relation_grants as
select
    case g.grantee when 0 then 'PUBLIC' else g.grantee::regrole::text end as grantee,
    lower(g.privilege_type) as privilege,
    case
        when o."column" is not null then 'column'
        when c.relkind = 'v' then 'view'
        when c.relkind = 'm' then 'materialized view'
        when c.relkind = 'f' then 'foreign table'
        when c.relkind = 'S' then 'sequence'
        else 'table'
    end as kind,
    audit.name(c.oid) as object,
    o."column",
    g.is_grantable as with_grant_option,
    g.grantor::regrole as grantor,
    g.grantee = 0 or g.grantee in (select role from audit.api_roles) as reaches_api,
    c.relowner::regrole as owner,
    c.relnamespace::regnamespace as namespace,
    c.oid::regclass as relation
from (
    select oid as relation, null::name as "column", relacl as acl from pg_class where relacl is not null
    union all
    select attrelid, attname, attacl from pg_attribute where attacl is not null and not attisdropped
) as o
join pg_class as c on c.oid = o.relation
cross join lateral aclexplode(o.acl) as g
where c.relpersistence <> 't' and c.relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
    and g.grantee <> c.relowner and not audit.in_extension('pg_class', c.oid);

comment on view audit.relation_grants is 'The part of audit.grants on tables, views, sequences and their columns.';

create or replace view audit.grants as
select grantee, privilege, kind, object, "column", with_grant_option, grantor, reaches_api, owner, namespace
from audit.relation_grants
union all
select
    case g.grantee when 0 then 'PUBLIC' else g.grantee::regrole::text end,
    lower(g.privilege_type),
    o.kind,
    o.object,
    null,
    g.is_grantable,
    g.grantor::regrole,
    g.grantee = 0 or g.grantee in (select role from audit.api_roles),
    o.owner::regrole,
    o.namespace::regnamespace
from (
    select 'function' as kind, audit.routine(p.oid) as object, coalesce(p.proacl, acldefault('f', p.proowner)) as acl,
        p.proowner as owner, p.pronamespace as namespace
    from pg_proc as p
    where p.oid >= 16384 and p.pronamespace::regnamespace::text !~ '^pg_temp'
        and not audit.in_extension('pg_proc', p.oid)
    union all
    select 'schema', quote_ident(nspname), coalesce(nspacl, acldefault('n', nspowner)), nspowner, oid
    from pg_namespace
    where nspname !~ '^(pg_|information_schema$)'
    union all
    select 'database', quote_ident(datname), coalesce(datacl, acldefault('d', datdba)), datdba, null
    from pg_database where datname = current_database()
    union all
    select
        'default for ' || case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences'
            when 'f' then 'functions' when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end,
        d.defaclrole::regrole || coalesce(' in ' || nullif(d.defaclnamespace, 0)::regnamespace, ''),
        d.defaclacl, d.defaclrole, null
    from pg_default_acl as d
) as o
cross join lateral aclexplode(o.acl) as g
where g.grantee <> o.owner;

comment on view audit.grants is
    'Who was granted what: on tables, columns, views, functions, schemas and the database, and by default privileges on
objects that will be created. Privileges that come with ownership are not listed.';
comment on column audit.grants."column" is 'The column; null if the privilege is on the whole object.';
comment on column audit.grants.reaches_api is 'Whether app_api has it: by name, as a member of a role, or as PUBLIC.';
comment on column audit.grants.owner is 'Who owns the object.';
comment on column audit.grants.namespace is 'Its schema; null for a database and for default privileges.';
