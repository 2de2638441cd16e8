-- Every table in a schema that app_api may use, whether or not it was granted anything on the table: a grant may come
-- later. Tables of other schemas that it was granted something on: a view may lead there. Not: temporary tables, tables
-- of extensions, and Alembic's own table of one revision number.
create or replace view audit.tables as
select
    t.oid::regclass as "table",
    t.relrowsecurity as rls_enabled,
    t.relforcerowsecurity as rls_forced,
    tenant.attname as tenant_column,
    tenant.attname is not null
        and not exists (select from pg_index where indrelid = t.oid and indkey[0] <> tenant.attnum)
        and not exists (
            select from pg_constraint as f
            where f.conrelid = t.oid and f.contype = 'f' and f.conkey[1] <> tenant.attnum
                and exists (select from pg_attribute where attrelid = f.confrelid and attname = 'user_id')
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
    'user_id = app.current_user_id()' || (
        select case when y.typcategory = 'S' then '' else '::' || format_type(y.oid, null) end
        from pg_type as x
        join pg_type as y on y.oid = coalesce(nullif(x.typbasetype, 0), x.oid)
        where x.oid = tenant.atttypid
    ) || case
        when exists (select from pg_collation where oid = tenant.attcollation and not collisdeterministic)
            then ' collate "C"'
        else ''
    end as rule,
    array(
        select attname from pg_attribute
        where attrelid = t.oid and attnum > 0 and not attisdropped and (attname in ('user_id', 'id')
            or attname ~ 'ed_at$' and atttypid in ('timestamptz'::regtype, 'timestamp'::regtype))
        order by attnum
    ) as protected_columns
from pg_class as t
cross join (select array_agg(role) as roles from audit.api_roles) as api
left join pg_attribute as tenant on tenant.attrelid = t.oid and tenant.attname = 'user_id' and not tenant.attisdropped
where t.relkind in ('r', 'p')
    and t.relpersistence <> 't'
    and t.relnamespace::regnamespace not in ('pg_catalog', 'information_schema')
    and exists (
        select from unnest(api.roles) as role
        where has_schema_privilege(role, t.relnamespace, 'usage')
            or has_table_privilege(role, t.oid, 'select, insert, update, delete, truncate, references, trigger')
            or has_any_column_privilege(role, t.oid, 'select, insert, update, references')
    )
    and (t.relnamespace::regnamespace::text, t.relname) <> ('migrations', 'alembic_version')
    and not audit.in_extension('pg_class', t.oid);

comment on view audit.tables is
    'Every table that app_api can or could reach: whether row-level security is on and forced, the tenant column,
whether it leads each key and index, and the policies for each command.';
comment on column audit.tables.tenant_column is 'user_id; null if the table has none.';
comment on column audit.tables.keys_lead_with_tenant is
    'Whether each index, unique key and foreign key starts with the tenant column.';
comment on column audit.tables.reachable is 'Whether app_api was granted anything on it.';
comment on column audit.tables.rule is 'What a policy says that binds each row to the caller; null without user_id.';
comment on column audit.tables.protected_columns is
    'What the database alone writes: user_id, id, and timestamps of what has happened (every …ed_at).';

-- The relations that a view reads, also through other views.
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
        or exists (select from pg_attribute where attrelid = c.oid and attname = 'user_id')
        or exists (select from audit.tables where "table" = c.oid)) as has_tenants
from view_reads as v
join pg_class as c on c.oid = v.relation;

comment on view audit.view_reads is 'The relations that a view reads, also through other views.';
comment on column audit.view_reads.has_tenants is
    'Whether it has tenants'' rows, as far as one can tell: it is in audit.tables, has policies or a column user_id.';
