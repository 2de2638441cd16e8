-- Every privilege that somebody has and does not owe to ownership.
create or replace view audit.grants as
select
    case g.grantee when 0 then 'PUBLIC' else g.grantee::regrole::text end as grantee,
    lower(g.privilege_type) as privilege,
    o.kind,
    o.object,
    o."column",
    g.is_grantable as with_grant_option,
    g.grantor::regrole as grantor
from (
    select
        case c.relkind when 'r' then 'table' when 'p' then 'table' when 'v' then 'view' when 'm' then 'materialized view'
            when 'f' then 'foreign table' when 'S' then 'sequence' end as kind,
        audit.name(c.oid) as object, null::name as "column", c.relacl as acl, c.relowner as owner
    from pg_class as c
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relpersistence <> 't' and c.relacl is not null
        and c.relnamespace::regnamespace not in ('pg_catalog', 'information_schema')
        and not audit.in_extension('pg_class', c.oid)
    union all
    select 'column', audit.name(c.oid), a.attname, a.attacl, c.relowner
    from pg_attribute as a
    join pg_class as c on c.oid = a.attrelid
    where a.attacl is not null and not a.attisdropped
        and c.relnamespace::regnamespace not in ('pg_catalog', 'information_schema')
    union all
    select 'function', audit.routine(p.oid), null, coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
    from pg_proc as p
    where p.pronamespace::regnamespace not in ('pg_catalog', 'information_schema')
        and p.pronamespace <> pg_my_temp_schema() and not audit.in_extension('pg_proc', p.oid)
    union all
    select 'schema', quote_ident(nspname), null, coalesce(nspacl, acldefault('n', nspowner)), nspowner
    from pg_namespace
    where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_(toast|temp)'
    union all
    select 'database', quote_ident(datname), null, coalesce(datacl, acldefault('d', datdba)), datdba
    from pg_database where datname = current_database()
    union all
    select
        'default for ' || case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
            when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end,
        d.defaclrole::regrole || coalesce(' in ' || nullif(d.defaclnamespace, 0)::regnamespace, ''),
        null, d.defaclacl, d.defaclrole
    from pg_default_acl as d
) as o
cross join lateral aclexplode(o.acl) as g
where g.grantee <> o.owner;

comment on view audit.grants is
    'Who was granted what: on tables, columns, views, functions, schemas and the database, and by default on those to
come. What an owner may do by owning is not listed.';
