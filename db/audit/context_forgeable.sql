-- An expression in a query of app_api can become another caller if it may call set_config(), and so can a block of code
-- in any language. db/roles.sql takes both away from PUBLIC where the administrator may. If that was never done (a
-- managed service, a new database), policies protect as long as no statement is injected; if they came back, somebody
-- gave them.
select
    'context_forgeable' as name,
    case when r.came_back then 'warning' else 'info' end as level,
    r.what as object,
    format('app_api may use %s: what is injected into a query can say that somebody else is calling.', r.what)
        as detail,
    case when r.came_back then r.revocation
        else '-- Run db/roles.sql as a superuser, which does this: ' || r.revocation end as remediation,
    'context_forgeable:' || r.what as key
from (
    select 'set_config()' as what, coalesce(proacl, acldefault('f', proowner)) as acl,
        -- Whoever may not grant and tries to, as pg_restore does, leaves an ACL that says what holds without one.
        coalesce(proacl <> acldefault('f', proowner), false) as came_back,
        'revoke execute on function pg_catalog.set_config(text, text, boolean) from ' as revocation
    from pg_proc
    where oid = 'set_config(text, text, boolean)'::regprocedure
    union all
    select 'language ' || quote_ident(lanname), coalesce(lanacl, acldefault('l', lanowner)),
        coalesce(lanacl <> acldefault('l', lanowner), false) or lanname <> 'plpgsql',
        format('revoke usage on language %I from ', lanname)
    from pg_language
    where laninline <> 0
) as u
cross join lateral (
    select u.what, u.came_back, u.revocation || string_agg(distinct grantee.name, ', ') || ';' as revocation
    from aclexplode(u.acl) as g
    cross join lateral (select case g.grantee when 0 then 'public' else g.grantee::regrole::text end as name) as grantee
    where g.grantee = 0 or g.grantee in (
            select role from audit.api_roles where role::text not in ('app_migrator', 'app_auditor')
        ) and g.grantee <> 10
) as r
where r.revocation is not null;
