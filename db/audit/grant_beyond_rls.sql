-- TRUNCATE and REFERENCES do not look at policies, a trigger of one role runs as another, and a grant option hands
-- rights on. https://www.postgresql.org/docs/18/sql-createpolicy.html
select
    'grant_beyond_rls' as name,
    'error' as level,
    format('%s%s to %s: %s', object, '.' || "column", grantee, privilege) as object,
    format('%s has %s%s.', grantee, privilege, case when with_grant_option then ' with grant option' else '' end) as detail,
    format('revoke %s%s on %s from %s cascade;', privilege, ' (' || quote_ident("column") || ')', object, grantee) as remediation,
    'grant_beyond_rls:' || format('%s%s to %s: %s', object, '.' || "column", grantee, privilege) as key
from audit.grants
where (kind in ('table', 'column', 'view', 'foreign table', 'materialized view')
        and privilege in ('truncate', 'references', 'trigger', 'maintain')
        or kind not like 'default%' and with_grant_option)
    and (grantee = 'PUBLIC' or grantee in (select role::text from audit.api_roles));
