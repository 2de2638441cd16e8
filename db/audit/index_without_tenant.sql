-- Every query is for one tenant. In an index that does not start with the tenant column it reads the entries of all
-- tenants, and a condition whose operator is not leakproof cannot use such an index at all. Kinds of indexes that
-- cannot start with it (hnsw, ivfflat, SP-GiST), or have no entry per row (BRIN), are not reported.
select
    'index_without_tenant' as name,
    'warning' as level,
    audit.name(i.indexrelid) as object,
    format('The index does not start with %s: a query for one tenant reads the entries of all of them.',
        t.tenant_column) as detail,
    case
        when is_plain then audit.remedy(drop_old || create_new, audit.is_ours(t."table"))
        else audit.advice('Somebody may query it as it is. The new one first, and the old one once nothing uses it: '
            || case m.amname when 'btree' then ''
                else format('create extension if not exists btree_%s; ', m.amname) end
            || create_new || ' ' || drop_old)
    end as remediation,
    'index_without_tenant:' || audit.name(i.indexrelid) as key
from audit.tables as t
join pg_index as i on i.indrelid = t."table" and not i.indisunique and not i.indisexclusion
join pg_class as c on c.oid = i.indexrelid and not c.relispartition
join pg_am as m on m.oid = c.relam and m.amname in ('btree', 'hash', 'gin', 'gist')
left join pg_attribute as first on first.attrelid = t."table" and first.attnum = i.indkey[0]
cross join lateral (
    select m.amname in ('btree', 'hash') and i.indpred is null and i.indexprs is null as is_plain
) as p
cross join lateral (
    select
        format('drop index %s; ', audit.name(i.indexrelid)) as drop_old,
        format('create index %s on %s using %s (%I, %s;',
            case when is_plain then quote_ident(c.relname) else '' end, audit.name(i.indrelid),
            replace(m.amname, 'hash', 'btree'), t.tenant_column, audit.index_columns(i.indexrelid)) as create_new
    where first.attname is distinct from t.tenant_column
) as s
where t.tenant_column is not null and (t.child_of is null or t.reachable);
