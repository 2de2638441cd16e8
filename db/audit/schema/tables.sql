-- Every table in a schema on which app_api has USAGE, whether or not it has privileges on the table: a grant may come
-- later. Tables of other schemas if it has a privilege on them: a view may read them. Not included: temporary tables,
-- tables of extensions, and Alembic's table with the revision number.
create or replace view audit.tables as
select
    t.oid::regclass as "table",
    t.relrowsecurity as rls_enabled,
    t.relforcerowsecurity as rls_forced,
    tenant."column" as tenant_column,
    tenant."column" is not null
        and not exists (select from pg_index where indrelid = t.oid and indkey[0] <> tenant.attnum)
        and not exists (
            select from pg_constraint as f
            where f.conrelid = t.oid and f.contype = 'f' and f.conkey[1] <> tenant.attnum
                and exists (select from audit.tenant_columns where relation = f.confrelid)
        ) as keys_lead_with_tenant,
    array(select polname from pg_policy where polrelid = t.oid and polcmd in ('*', 'r') order by 1) as select_policies,
    array(select polname from pg_policy where polrelid = t.oid and polcmd in ('*', 'a') order by 1) as insert_policies,
    array(select polname from pg_policy where polrelid = t.oid and polcmd in ('*', 'w') order by 1) as update_policies,
    array(select polname from pg_policy where polrelid = t.oid and polcmd in ('*', 'd') order by 1) as delete_policies,
    (select min(inhparent)::regclass from pg_inherits where inhrelid = t.oid) as child_of,
    exists (
        select from unnest(api.roles) as role
        where has_table_privilege(role, t.oid, 'select, insert, update, delete, truncate, references, trigger')
            or has_any_column_privilege(role, t.oid, 'select, insert, update, references')
    ) as reachable,
    t.relowner::regrole as owner,
    tenant.call || cast_to.type as tenant_default,
    quote_ident(tenant."column") || ' = ' || tenant.strictest_call || cast_to.type || cast_to.collation
        as tenant_condition,
    array(
        select attname from pg_attribute
        where attrelid = t.oid and attnum > 0 and not attisdropped and (attname = 'id'
            or attname in (select "column" from audit.tenants)
            or attname ~ 'ed_at$' and atttypid in ('timestamptz'::regtype, 'timestamp'::regtype))
        order by attnum
    ) as protected_columns
from pg_class as t
cross join (select array_agg(role) as roles from audit.api_roles) as api
left join audit.tenant_columns as tenant on tenant.relation = t.oid
left join lateral (
    select
        case
            when y.oid = tenant.type or y.typcategory = 'S' and returned.typcategory = 'S'
                -- They are compared as they are; a cast would be a function.
                or array[y.oid, returned.oid] <@ '{smallint, integer, bigint}'::regtype[]::oid[] then ''
            else '::' || format_type(y.oid, null)
        end as type,
        case
            when exists (select from pg_collation where oid = a.attcollation and not collisdeterministic)
                then ' collate "C"'
            else ''
        end as collation
    from pg_attribute as a
    join pg_type as x on x.oid = a.atttypid
    join pg_type as y on y.oid = coalesce(nullif(x.typbasetype, 0), x.oid)
    join pg_type as returned on returned.oid = tenant.type
    where a.attrelid = t.oid and a.attnum = tenant.attnum
) as cast_to on true
where t.relkind in ('r', 'p')
    and t.relpersistence <> 't'
    and t.relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
    and exists (
        select from unnest(api.roles) as role
        where has_schema_privilege(role, t.relnamespace, 'usage')
            or has_table_privilege(role, t.oid, 'select, insert, update, delete, truncate, references, trigger')
            or has_any_column_privilege(role, t.oid, 'select, insert, update, references')
    )
    and (t.relnamespace::regnamespace::text, t.relname) <> ('migrations', 'alembic_version')
    and not audit.in_extension('pg_class', t.oid);

comment on view audit.tables is
    'Every table that app_api can reach, or could after a grant: whether row-level security is enabled and forced, the
tenant column, whether all keys and indexes start with it, and the policies for each command.';
comment on column audit.tables.tenant_column is
    'To whom its rows belong, see audit.tenants; null if the table has no such column.';
comment on column audit.tables.keys_lead_with_tenant is
    'Whether each index, unique key and foreign key starts with the tenant column.';
comment on column audit.tables.child_of is 'The parent of a partition or of an inheritance child; null for all others.';
comment on column audit.tables.reachable is 'Whether app_api has a privilege on it.';
comment on column audit.tables.tenant_default is
    'The default that gives a new row to the caller; null without a tenant column.';
comment on column audit.tables.tenant_condition is
    'The condition of a policy that lets the caller have its own rows; null without a tenant column.';
comment on column audit.tables.protected_columns is
    'The columns that only the database sets: those of audit.tenants, id and timestamps of past events, named …ed_at.';

create or replace view audit.view_reads as
with recursive direct as (
    select r.ev_class as view, d.refobjid as relation
    from pg_rewrite as r
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class and d.refobjid >= 16384
), view_reads as (
    select view, relation from direct
    union
    select v.view, d.relation from view_reads as v join direct as d on d.view = v.relation
)
select
    v.view::regclass,
    v.relation::regclass,
    c.relkind in ('r', 'p', 'f') and (c.relrowsecurity
        or exists (select from audit.tenant_columns as t where t.relation = c.oid)
        or exists (select from audit.tables where "table" = c.oid)) as has_tenants
from view_reads as v
join pg_class as c on c.oid = v.relation;

comment on view audit.view_reads is 'The relations that each view reads, directly or through other views.';
comment on column audit.view_reads.has_tenants is
    'Whether the relation has tenants'' rows: it is in audit.tables, has row-level security or a tenant column.';
