-- Some columns only the database sets, by a default or a trigger: the tenant column, id, and timestamps of past events
-- (created_at, updated_at, completed_at: every column whose name ends in "ed_at").
select
    'grant_protected_column' as name,
    'warning' as level,
    g.object || '.' || quote_ident(a.name) as object,
    format('app_api may %s it.', string_agg(distinct g.privilege, ' and ')) as detail,
    audit.remedy(string_agg(distinct case
        when g.kind = 'column' then format('revoke %s (%I) on %s from %s;', g.privilege, a.name, g.object, g.grantee)
        else format('revoke %s on %s from %s;', g.privilege, g.object, g.grantee)
            || coalesce(format(' grant %s (%s) on %s to %s;', g.privilege, others.list, g.object, g.grantee), '')
    end, ' '), bool_and(audit.may_revoke(g.grantee, g.owner, g.namespace))) as remediation,
    'grant_protected_column:' || g.object || '.' || quote_ident(a.name) as key
from audit.tables as t
cross join unnest(t.protected_columns) as a (name)
join audit.relation_grants as g on g.relation = t."table" and g.reaches_api and g.privilege in ('insert', 'update')
    and (g.kind = 'table' or g."column" = a.name)
cross join lateral (
    select string_agg(quote_ident(attname), ', ' order by attnum) as list
    from pg_attribute
    where attrelid = t."table" and attnum > 0 and not attisdropped and attname <> all (t.protected_columns)
) as others
group by g.object, a.name;
