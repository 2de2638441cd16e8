-- Unique keys are checked without row-level security: inserting a value that another tenant has fails, which reveals
-- that it exists. With the tenant column in the key no two tenants can collide.
select
    'key_without_tenant' as name,
    'warning' as level,
    audit.name(i.indexrelid) as object,
    format('The %s does not start with %s: a duplicate reveals that another tenant has the value.',
        case k.contype when 'p' then 'primary key' when 'x' then 'exclusion constraint' else 'unique key' end,
        t.tenant_column) as detail,
    audit.remedy(case when m.amname = 'gist' then 'create extension if not exists btree_gist; ' else '' end || case
        when k.oid is null then format('drop index %s; create unique index %I on %s using %I (%I, %s;',
            audit.name(i.indexrelid), c.relname, audit.name(i.indrelid), m.amname, t.tenant_column,
            audit.index_columns(i.indexrelid))
        else format('alter table %s drop constraint %I, add constraint %I %s;',
            audit.name(i.indrelid), k.conname, k.conname, case
                when k.contype = 'x' then regexp_replace(audit.constraint_definition(k.oid), '\(',
                    format('(%I WITH =, ', t.tenant_column))
                else regexp_replace(
                    regexp_replace(audit.constraint_definition(k.oid), format(', %I(?=[,)])', t.tenant_column), ''),
                    '\(', format('(%I, ', t.tenant_column))
            end)
    end, audit.is_ours(t."table")) as remediation,
    'key_without_tenant:' || audit.name(i.indexrelid) as key
from audit.tables as t
join pg_index as i on i.indrelid = t."table" and (i.indisunique or i.indisexclusion)
join pg_class as c on c.oid = i.indexrelid and not c.relispartition
join pg_am as m on m.oid = c.relam
left join pg_constraint as k on k.conindid = i.indexrelid and k.conrelid = t."table" and k.contype in ('p', 'u', 'x')
left join pg_attribute as first on first.attrelid = t."table" and first.attnum = i.indkey[0]
where t.tenant_column is not null and first.attname is distinct from t.tenant_column;
