-- Without a permissive policy a granted command affects no row. The API would look broken, and somebody in a hurry
-- would disable row-level security.
select
    'policy_missing' as name,
    'warning' as level,
    g.object || ' ' || g.privilege as object,
    format('app_api was granted %s, and no policy permits it.', g.privilege) as detail,
    audit.remedy(case
        when t.tenant_condition is null
            then format('revoke %s on %s from %s;', g.privilege, g.object, string_agg(distinct g.grantee, ', '))
        else format('create policy %I on %s for %s to app_api %s;', 'tenants_' || g.privilege, g.object, g.privilege,
            concat_ws(' ', case when g.privilege <> 'insert' then format('using (%s)', t.tenant_condition) end,
                case when g.privilege in ('insert', 'update') then format('with check (%s)', t.tenant_condition) end))
    end, audit.is_ours(t."table")) as remediation,
    'policy_missing:' || g.object || ' ' || g.privilege as key
from audit.tables as t
join audit.relation_grants as g on g.relation = t."table" and g.reaches_api
    and g.privilege in ('select', 'insert', 'update', 'delete')
cross join (select array_agg(role::oid) || 0::oid as oids from audit.api_roles) as api
where t.rls_enabled
    and not exists (
        select from pg_policy as p
        where p.polrelid = t."table" and p.polpermissive and p.polroles && api.oids
            and p.polcmd in ('*', case g.privilege
                when 'select' then 'r' when 'insert' then 'a' when 'update' then 'w' else 'd' end)
    )
group by t."table", t.tenant_condition, g.object, g.privilege;
