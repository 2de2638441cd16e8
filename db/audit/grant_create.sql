-- Whoever may create objects in a schema can create a function or an operator there that another role's search_path
-- finds before the intended one. In schemas that app_api uses, and in the product's own, only app_owner may, and whoever
-- may become it: before PostgreSQL 16 that is whoever may create roles.
select distinct
    'grant_create' as name,
    'warning' as level,
    format('%s %s to %s', kind, object, grantee) as object,
    format('%s may create in %s %s.', grantee, kind, object) as detail,
    audit.remedy(format('revoke create on %s %s from %s cascade;', kind, object, grantee),
        audit.may_revoke(grantee, owner, namespace)) as remediation,
    'grant_create:' || format('%s %s to %s', kind, object, grantee) as key
from audit.grants
left join pg_namespace as n on kind = 'schema' and quote_ident(n.nspname) = object
left join pg_roles as r on r.oid::regrole::text = grantee
where privilege = 'create' and (
    kind in ('schema', 'database') and reaches_api
    or kind = 'schema' and not r.rolsuper and r.rolname <> 'pg_database_owner'
        and not exists (select from pg_roles where rolname = 'app_owner' and pg_has_role(r.oid, oid, 'member'))
        and not (r.rolcreaterole and current_setting('server_version_num')::int < 160000)
        and (audit.is_ours(n.nspowner, n.oid)
            or exists (select from audit.api_roles where has_schema_privilege(role, n.oid, 'usage')))
);
