-- A foreign table has no row-level security: the other server sees one login for all tenants.
select
    'foreign_table' as name,
    'error' as level,
    audit.name(f.oid) as object,
    'app_api may use the foreign table, which no policy can wall.' as detail,
    format('revoke all on %s from app_api, public;', audit.name(f.oid)) as remediation,
    'foreign_table:' || audit.name(f.oid) as key
from pg_class as f
where f.relkind = 'f'
    and (has_table_privilege('app_api', f.oid, 'delete') or has_any_column_privilege('app_api', f.oid, 'select, insert, update'))
    and has_schema_privilege('app_api', f.relnamespace, 'usage');
