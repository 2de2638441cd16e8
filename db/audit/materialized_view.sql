-- A materialized view has no row-level security: it shows what its owner saw when it was refreshed.
select
    'materialized_view' as name,
    'error' as level,
    audit.name(v.oid) as object,
    'app_api may read the materialized view, which no policy can wall.' as detail,
    format('revoke select on %s from app_api, public;', audit.name(v.oid)) as remediation,
    'materialized_view:' || audit.name(v.oid) as key
from pg_class as v
where v.relkind = 'm' and has_any_column_privilege('app_api', v.oid, 'select')
    and has_schema_privilege('app_api', v.relnamespace, 'usage') and not audit.in_extension('pg_class', v.oid);
