-- A foreign table has no row-level security, and the remote server cannot add it: it sees one login for all tenants.
select
    'foreign_table' as name,
    'error' as level,
    audit.name(f.oid) as object,
    'app_api may use the foreign table, and foreign tables have no row-level security.' as detail,
    audit.remedy(format('revoke all on %s from %s cascade;', audit.name(f.oid), string_agg(distinct g.grantee, ', ')),
        bool_and(audit.may_revoke(g.grantee, g.owner, g.namespace))) as remediation,
    'foreign_table:' || audit.name(f.oid) as key
from pg_class as f
join audit.relation_grants as g on g.relation = f.oid and g.reaches_api
    and g.privilege in ('select', 'insert', 'update', 'delete')
where f.relkind = 'f'
    and (exists (select from audit.api_roles where has_schema_privilege(role, f.relnamespace, 'usage'))
        or audit.is_viewed(f.oid))
group by f.oid;
