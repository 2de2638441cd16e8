-- What PostgreSQL itself lets nobody read, or do: statistics have values of hidden rows, other catalogs passwords and
-- large objects, some functions the server's files. This reports what was granted beyond the initial privileges.
select
    'grant_on_catalog' as name,
    case when object ~ '^pg_(statistic|largeobject$|read_|toast)' then 'error' else 'warning' end as level,
    format('%s to %s: %s', object, grantee, privilege) as object,
    format('%s was granted %s, which PostgreSQL does not grant.', grantee, privilege) as detail,
    format('revoke %s%s on %s%s from %s;', privilege, ' (' || quote_ident("column") || ')',
        case when catalog = 'pg_proc'::regclass then 'function ' else '' end, object, grantee) as remediation,
    format('grant_on_catalog:%s to %s: %s', object, grantee, privilege) as key
from (
    select distinct o.catalog, o.object, o."column", lower(g.privilege_type) as privilege,
        case g.grantee when 0 then 'PUBLIC' else g.grantee::regrole::text end as grantee
    from (
        select 'pg_class'::regclass as catalog, oid, 0 as part, oid::regclass::text as object, null as "column",
            relacl as acl
        from pg_class
        where oid < 16384 and relacl is not null and relnamespace::regnamespace::text <> 'information_schema'
        union all
        select 'pg_class'::regclass, attrelid, attnum, attrelid::regclass || '.' || quote_ident(attname), attname,
            attacl
        from pg_attribute where attrelid < 16384 and attacl is not null
        union all
        select 'pg_proc'::regclass, oid, 0, oid::regprocedure::text, null, proacl
        from pg_proc where oid < 16384 and proacl is not null
    ) as o
    left join pg_init_privs as i on i.classoid = o.catalog and i.objoid = o.oid and i.objsubid = o.part
    cross join lateral aclexplode(o.acl) as g
    where o.acl is distinct from i.initprivs
        and (g.grantee = 0 or g.grantee in (select role from audit.api_roles))
        and not exists (
            select from aclexplode(i.initprivs) as initial
            where initial.grantee in (0, g.grantee) and initial.privilege_type = g.privilege_type
        )
        and (o.catalog <> 'pg_proc'::regclass or i.initprivs is not null)
) as granted;
