-- An audit reads catalogs, never a tenant's row: it must be possible to give it to somebody who may not see one.
select
    'auditor_reads_tenants' as name,
    'warning' as level,
    object as object,
    detail as detail,
    remediation as remediation,
    'auditor_reads_tenants:' || object as key
from (
    select
        audit.name("table") as object,
        'app_auditor was granted select.' as detail,
        format('revoke select on %s from app_auditor, public;', audit.name("table")) as remediation
    from audit.tables
    where to_regrole('app_auditor') is not null and has_any_column_privilege('app_auditor', "table", 'select')
    union all
    select
        r.oid::regrole::text,
        format('app_auditor is a member of %s.', r.oid::regrole),
        format('revoke %s from app_auditor;', r.oid::regrole)
    from pg_roles as r
    join pg_auth_members as m on m.roleid = r.oid and m.member = to_regrole('app_auditor')
    where r.rolsuper or r.rolbypassrls or exists (
        select from pg_roles as reached
        where pg_has_role(r.oid, reached.oid, 'member') and (reached.rolsuper or reached.rolbypassrls
            or reached.rolname in ('app_api', 'app_owner', 'pg_read_all_data', 'pg_read_server_files'))
    )
) as readings;
