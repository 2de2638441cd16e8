-- A view reads with its owner's rights unless it is created with security_invoker: if the owner bypasses row-level
-- security, the view shows every tenant's rows. https://www.postgresql.org/docs/18/sql-createview.html
select
    'view_definer' as name,
    case
        when granted and (in_reach or audit.is_viewed(v.oid)) then 'error'
        else 'warning'
    end as level,
    audit.name(v.oid) as object,
    format('The view reads %s with the rights of %s.', reads.tables, v.relowner::regrole) as detail,
    format('alter view %s set (security_invoker = true);', audit.name(v.oid)) as remediation,
    'view_definer:' || audit.name(v.oid) as key
from pg_class as v
join (
    select view, string_agg(audit.name(relation), ', ' order by audit.name(relation)) as tables
    from audit.view_reads
    where has_tenants
    group by view
) as reads on reads.view = v.oid
cross join lateral (
    select
        coalesce(bool_or(has_any_column_privilege(role, v.oid, 'select, insert, update')
            or has_table_privilege(role, v.oid, 'delete')), false) as granted,
        bool_or(has_schema_privilege(role, v.relnamespace, 'usage')) as in_reach
    from audit.api_roles
) as api
where v.relkind = 'v' and (granted or in_reach)
    and not exists (
        select from pg_options_to_table(v.reloptions) where option_name = 'security_invoker' and option_value::boolean
    );
