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
    -- Whoever else reads it then needs the privileges of the tables.
    audit.remedy(format('alter view %s set (security_invoker = true);', audit.name(v.oid)),
        audit.is_ours(v.relowner, v.relnamespace) and not api.shared) as remediation,
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
        bool_or(has_schema_privilege(role, v.relnamespace, 'usage')) as in_reach,
        exists (
            select from audit.relation_grants as g
            where g.relation = v.oid and g.grantee not in (select role::text from audit.api_roles)
        ) as shared
    from audit.api_roles
) as api
where v.relkind = 'v' and (granted or in_reach)
    and not exists (
        select from pg_options_to_table(v.reloptions) where option_name = 'security_invoker' and option_value::boolean
    );
