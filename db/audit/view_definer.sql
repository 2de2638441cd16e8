-- A view reads with the rights of its owner unless it is a security_invoker view: an owner that no policy binds
-- shows everybody's rows. https://www.postgresql.org/docs/18/sql-createview.html
select
    'view_definer' as name,
    case when has_any_column_privilege('app_api', v.oid, 'select, insert, update') then 'error' else 'warning' end as level,
    audit.name(v.oid) as object,
    format('The view reads %s with the rights of %s.', reads.tables, v.relowner::regrole) as detail,
    format('alter view %s set (security_invoker = true);', audit.name(v.oid)) as remediation,
    'view_definer:' || audit.name(v.oid) as key
from pg_class as v
cross join lateral (
    select string_agg(audit.name(r.relation), ', ' order by r.relation::text) as tables
    from audit.view_reads as r
    join audit.tables as t on t."table" = r.relation
    where r.view = v.oid
) as reads
where v.relkind = 'v' and reads.tables is not null
    and not exists (
        select from pg_options_to_table(v.reloptions) where option_name = 'security_invoker' and option_value::boolean
    )
    and has_schema_privilege('app_api', v.relnamespace, 'usage');
