-- An audit needs the catalogs, never a tenant's row, so that it can be left to somebody who may not see one.
select
    'auditor_reads_tenants' as name,
    'warning' as level,
    object as object,
    detail as detail,
    remediation as remediation,
    'auditor_reads_tenants:' || object as key
from (
    select
        g.object as object,
        format('app_auditor may read it: select is granted to %s.', string_agg(distinct g.grantee, ' and ')) as detail,
        audit.remedy(format('revoke select on %s from %s;', g.object, string_agg(distinct g.grantee, ', ')),
            bool_and(audit.may_revoke(g.grantee, g.owner, g.namespace))) as remediation
    from audit.tables as t
    join audit.relation_grants as g on g.relation = t."table"
    where g.privilege = 'select' and g.grantee in ('PUBLIC', to_regrole('app_auditor')::text)
        and to_regrole('app_auditor') is not null
    group by g.object
    union all
    select
        r.oid::regrole::text,
        format('app_auditor is a member of %s, which can read tenants'' rows.', r.oid::regrole),
        audit.revocation(r.oid, to_regrole('app_auditor'))
    from pg_roles as r
    where exists (select from pg_auth_members where roleid = r.oid and member = to_regrole('app_auditor'))
        and exists (
            select from pg_roles as reached
            where pg_has_role(r.oid, reached.oid, 'member') and (reached.rolsuper or reached.rolbypassrls
                or reached.rolname in ('app_api', 'app_owner', 'pg_read_all_data', 'pg_read_server_files')
                or reached.oid::regrole::text in (
                    select g.grantee from audit.tables as t join audit.relation_grants as g on g.relation = t."table"
                    where g.privilege = 'select'
                ))
        )
) as readings;
