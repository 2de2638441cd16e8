-- Every table in a schema that app_api may use, whether or not it was granted anything on the table: a grant may come
-- later. Not: temporary tables, tables of extensions, and Alembic's own table of one revision number.
create or replace view audit.tables as
select
    t.oid::regclass as "table",
    t.relrowsecurity as rls_enabled,
    t.relforcerowsecurity as rls_forced,
    tenant.attname as tenant_column,
    coalesce((select bool_and(i.indkey[0] = tenant.attnum) from pg_index as i where i.indrelid = t.oid)
        and not exists (
            select from pg_constraint as f
            where f.conrelid = t.oid and f.contype = 'f' and f.conkey[1] is distinct from tenant.attnum
                and exists (select from pg_attribute where attrelid = f.confrelid and attname = 'user_id')
        ), false) as keys_lead_with_tenant,
    array(select polname from pg_policy where polrelid = t.oid and polcmd in ('*', 'r') order by 1) as select_policies,
    array(select polname from pg_policy where polrelid = t.oid and polcmd in ('*', 'a') order by 1) as insert_policies,
    array(select polname from pg_policy where polrelid = t.oid and polcmd in ('*', 'w') order by 1) as update_policies,
    array(select polname from pg_policy where polrelid = t.oid and polcmd in ('*', 'd') order by 1) as delete_policies,
    (select min(inhparent)::regclass from pg_inherits where inhrelid = t.oid) as child_of,
    has_table_privilege('app_api', t.oid, 'select, insert, update, delete, truncate, references, trigger')
        or has_any_column_privilege('app_api', t.oid, 'select, insert, update, references') as reachable,
    t.relowner::regrole as owner
from pg_class as t
left join pg_attribute as tenant on tenant.attrelid = t.oid and tenant.attname = 'user_id' and not tenant.attisdropped
where t.relkind in ('r', 'p')
    and t.relpersistence <> 't'
    and t.relnamespace::regnamespace not in ('pg_catalog', 'information_schema')
    and to_regrole('app_api') is not null
    and has_schema_privilege('app_api', t.relnamespace, 'usage')
    and (t.relnamespace::regnamespace::text, t.relname) <> ('migrations', 'alembic_version')
    and not audit.in_extension('pg_class', t.oid);

comment on view audit.tables is
    'Every table that app_api can or could reach: whether row-level security is on and forced, the tenant column,
whether it leads each key and index, and the policies for each command.';
comment on column audit.tables.tenant_column is 'user_id; null if the table has none.';
comment on column audit.tables.keys_lead_with_tenant is
    'Whether each index, unique key and foreign key starts with the tenant column.';
comment on column audit.tables.reachable is 'Whether app_api was granted anything on it.';

-- The relations that a view reads, also through other views.
create or replace view audit.view_reads as
with recursive view_reads (view, relation) as (
    select r.ev_class::regclass, d.refobjid::regclass
    from pg_rewrite as r
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
    union
    select v.view, d.refobjid::regclass
    from view_reads as v
    join pg_rewrite as r on r.ev_class = v.relation
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
)
select view, relation from view_reads;

comment on view audit.view_reads is 'The relations that a view reads, also through other views.';
