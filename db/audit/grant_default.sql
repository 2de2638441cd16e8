-- A new object gets its grants from the migration that creates it, where a reviewer sees them, and not from default
-- privileges.
select
    'grant_default' as name,
    'warning' as level,
    format('default for %s of %s%s to %s: %s', kind, owner, ' in ' || namespace, grantee, privilege) as object,
    format('%s will be granted %s on new %s.', grantee, privilege, kind) as detail,
    audit.remedy(format('alter default privileges for role %s%s revoke %s on %s from %s;',
        owner, ' in schema ' || namespace, privilege, kind, grantee),
        grantee = 'app_api' or audit.is_ours(owner, null)) as remediation,
    'grant_default:' || format('default for %s of %s%s to %s: %s', kind, owner, ' in ' || namespace, grantee, privilege)
        as key
from (
    select
        case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
            when 'n' then 'schemas' else 'large objects' end as kind,
        d.defaclrole::regrole as owner,
        nullif(d.defaclnamespace, 0)::regnamespace as namespace,
        case g.grantee when 0 then 'PUBLIC' else g.grantee::regrole::text end as grantee,
        lower(g.privilege_type) as privilege
    from pg_default_acl as d
    cross join aclexplode(d.defaclacl) as g
    where d.defaclobjtype <> 'T' and g.grantee <> d.defaclrole
        and (g.grantee = 0 or g.grantee in (select role from audit.api_roles))
    union all
    -- PostgreSQL's built-in default, which the first migration revokes.
    select 'functions', to_regrole('app_owner'), null, 'PUBLIC', 'execute'
    where to_regrole('app_owner') is not null and not exists (
        select from pg_default_acl
        where defaclrole = to_regrole('app_owner') and defaclobjtype = 'f' and defaclnamespace = 0
    )
) as defaults;
