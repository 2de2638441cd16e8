-- The tenant of a new row comes from the column's default, because app_api may not write the column. Without this
-- default every insert of app_api fails. A table into which it was granted to insert no column is filled by functions,
-- which say whose the row is.
select
    'tenant_column_without_default' as name,
    'warning' as level,
    audit.name(t."table") || '.' || quote_ident(t.tenant_column) as object,
    coalesce(case when a.attgenerated = '' then 'The default is ' else 'It is generated as ' end
        || audit.expression(d.adbin, t."table"), 'There is no default')
        || format('; it should be %s.', t.tenant_default) as detail,
    audit.remedy(format('alter table %s %salter column %I set default %s;', audit.name(t."table"),
        case
            when a.attidentity <> '' then format('alter column %I drop identity, ', t.tenant_column)
            when a.attgenerated <> '' then format('alter column %I drop expression, ', t.tenant_column)
        end, t.tenant_column, t.tenant_default), audit.is_ours(t."table")) as remediation,
    'tenant_column_without_default:' || audit.name(t."table") || '.' || quote_ident(t.tenant_column) as key
from audit.tables as t
join audit.contexts as kind on kind."column" = t.tenant_column
join pg_attribute as a on a.attrelid = t."table" and a.attname = t.tenant_column
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
cross join lateral (select audit.operand(audit.parse_tree(d.adbin)) as tree offset 0) as p
-- PostgreSQL adds an implicit cast to fit varchar(n).
cross join lateral (
    select case when p.tree @> '{"node": "FUNCEXPR", "funcformat": "2"}' then audit.operand(p.tree #> '{args,0}')
        else p.tree end as tree
) as value
where (t.child_of is null or t.reachable)
    and (not t.reachable
        or exists (
            select from audit.relation_grants as g
            where g.relation = t."table" and g.privilege = 'insert' and g.reaches_api
        ))
    and audit.is_call(value.tree, kind.function) is not true;
