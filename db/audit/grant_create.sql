-- Whoever may create objects in a schema can create a function or an operator there that another role's search_path
-- finds before the intended one.
select distinct
    'grant_create' as name,
    'warning' as level,
    format('%s %s to %s', kind, object, grantee) as object,
    format('%s may create in %s %s.', grantee, kind, object) as detail,
    format('revoke create on %s %s from %s cascade;', kind, object, grantee) as remediation,
    'grant_create:' || format('%s %s to %s', kind, object, grantee) as key
from audit.grants
where privilege = 'create' and kind in ('schema', 'database') and reaches_api;
