-- The actions of a foreign key ignore row-level security. If app_api may delete or change rows of a table without a
-- tenant, and tenants' rows refer to them, one tenant's request deletes or changes the rows of others, or is refused
-- because they exist.
select
    'foreign_key_to_shared_table' as name,
    case when f.confdeltype in ('c', 'n', 'd') or f.confupdtype in ('c', 'n', 'd') then 'error' else 'warning' end
        as level,
    audit.name(f.conrelid) || '.' || quote_ident(f.conname) as object,
    format('app_api has %s on %s, which belongs to no tenant and is referenced by every tenant''s rows.',
        string_agg(distinct g.privilege, ' and '), audit.name(f.confrelid)) as detail,
    audit.remedy(string_agg(distinct format('revoke %s on %s from %s cascade;', g.privilege, g.object, g.grantee), ' '),
        bool_and(audit.may_revoke(g.grantee, g.owner, g.namespace))) as remediation,
    'foreign_key_to_shared_table:' || audit.name(f.conrelid) || '.' || quote_ident(f.conname) as key
from audit.tables as t
join pg_constraint as f on f.conrelid = t."table" and f.contype = 'f' and f.conparentid = 0
join audit.relation_grants as g on g.relation = f.confrelid and g.reaches_api and g.privilege in ('delete', 'update')
where t.tenant_column is not null
    and not exists (select from audit.tenant_columns where relation = f.confrelid)
group by f.oid, f.conrelid, f.conname, f.confrelid, f.confdeltype, f.confupdtype;
