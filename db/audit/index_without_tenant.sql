-- Every query is for one tenant. In an index that does not start with the tenant column it reads the entries of all
-- tenants, and a condition whose operator is not leakproof cannot use such an index at all.
select
    'index_without_tenant' as name,
    'warning' as level,
    audit.name(i.indexrelid) as object,
    'The index does not start with user_id: a query for one tenant reads the entries of all of them.' as detail,
    case when m.amname in ('gin', 'gist') then format('create extension if not exists btree_%s; ', m.amname) else '' end
        || format('drop index %s;', audit.name(i.indexrelid)) || case
            when m.amname in ('btree', 'gin', 'gist', 'brin', 'hash') then
                format(' create index %I on %s using %s (user_id, %s;', c.relname, audit.name(i.indrelid),
                    replace(m.amname, 'hash', 'btree'), audit.index_columns(i.indexrelid))
            else ''
        end as remediation,
    'index_without_tenant:' || audit.name(i.indexrelid) as key
from audit.tables as t
join pg_index as i on i.indrelid = t."table" and not i.indisunique and not i.indisexclusion
join pg_class as c on c.oid = i.indexrelid and not c.relispartition
join pg_am as m on m.oid = c.relam
left join pg_attribute as first on first.attrelid = t."table" and first.attnum = i.indkey[0]
where t.tenant_column is not null and first.attname is distinct from t.tenant_column;
