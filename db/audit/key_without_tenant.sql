-- Unique keys are checked outside of row-level security: inserting a value that exists next door fails, and that
-- tells a stranger that it exists. With the tenant in front there is nothing to tell.
select
    'key_without_tenant' as name,
    'warning' as level,
    audit.name(i.indexrelid) as object,
    format('The %s does not start with user_id: it tells that a row of another tenant exists.',
        case when k.contype = 'p' then 'primary key' when i.indisunique then 'unique key' else 'exclusion' end) as detail,
    case
        when k.oid is null then format('drop index %s;', audit.name(i.indexrelid))
        else format('alter table %s drop constraint %I;', audit.name(i.indrelid), k.conname)
    end || case
        when i.indisunique then format(' create unique index %I on %s (user_id, %s;', c.relname, audit.name(i.indrelid),
            split_part(pg_get_indexdef(i.indexrelid), ' (', 2))
        else ''
    end as remediation,
    'key_without_tenant:' || audit.name(i.indexrelid) as key
from audit.tables as t
join pg_index as i on i.indrelid = t."table" and (i.indisunique or i.indisexclusion)
join pg_class as c on c.oid = i.indexrelid and not c.relispartition
left join pg_constraint as k on k.conindid = i.indexrelid and k.conrelid = t."table" and k.contype in ('p', 'u', 'x')
left join pg_attribute as first on first.attrelid = t."table" and first.attnum = i.indkey[0]
where t.tenant_column is not null and first.attname is distinct from t.tenant_column;
