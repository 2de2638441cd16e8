-- What will be created later should get its grants from the migration that creates it, where a reviewer sees them,
-- and not from a default.
select
    'grant_default' as name,
    'warning' as level,
    object as object,
    detail as detail,
    remediation as remediation,
    'grant_default:' || object as key
from (
    select
        format('%s of %s to %s: %s', kind, object, grantee, privilege) as object,
        format('%s will have %s.', grantee, privilege) as detail,
        format('alter default privileges for role %s%s revoke %s on %s from %s;',
            split_part(object, ' in ', 1), ' in schema ' || nullif(split_part(object, ' in ', 2), ''), privilege,
            replace(kind, 'default for ', ''), grantee) as remediation
    from audit.grants
    where kind like 'default for %' and (grantee = 'PUBLIC' or grantee in (select role::text from audit.api_roles))
    union all
    select
        'default for functions of app_owner to PUBLIC: execute',
        'PUBLIC will have execute: PostgreSQL''s own default, which the first migration revoked.',
        'alter default privileges for role app_owner revoke execute on functions from public;'
    where to_regrole('app_owner') is not null and not exists (
        select from pg_default_acl
        where defaclrole = to_regrole('app_owner') and defaclobjtype = 'f' and defaclnamespace = 0
    )
) as defaults;
