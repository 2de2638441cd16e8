-- What PostgreSQL itself lets nobody read, or do: statistics have values of hidden rows, other catalogs passwords and
-- large objects, some functions the server's files. This reports what was granted beyond the initial privileges.
select
    'grant_on_catalog' as name,
    case when object ~ '^pg_(statistic|largeobject$|toast|read_)' then 'error' else 'warning' end as level,
    what as object,
    format('%s was granted %s, which PostgreSQL does not grant.', grantee, privilege) as detail,
    format('revoke %s%s on %s%s from %s;', privilege, ' (' || quote_ident("column") || ')', kind, object, grantee)
        as remediation,
    'grant_on_catalog:' || what as key
from (
    select 'pg_class'::regclass as catalog, oid, 0 as part, '' as kind, oid::regclass::text as object,
        null as "column", relacl as acl
    from pg_class
    where oid < 16384 and relacl is not null and relnamespace::regnamespace::text <> 'information_schema'
    union all
    select 'pg_class'::regclass, attrelid, attnum, '', attrelid::regclass::text, attname, attacl
    from pg_attribute where attrelid < 16384 and attacl is not null
    union all
    select 'pg_proc'::regclass, oid, 0, 'function ', oid::regprocedure::text, null, proacl
    from pg_proc
    where oid < 16384 and proacl is not null and exists (
        select from pg_init_privs where classoid = 'pg_proc'::regclass and objoid = pg_proc.oid)
) as o
cross join lateral (
    select distinct lower(privilege_type) as privilege, privilege_type, grantee as oid,
        case g.grantee when 0 then 'PUBLIC' else g.grantee::regrole::text end as grantee
    from aclexplode(o.acl) as g
    where g.grantee = 0 or g.grantee in (select role from audit.api_roles)
) as g
cross join lateral (
    select format('%s%s to %s: %s', object, '.' || quote_ident("column"), grantee, privilege) as what
) as w
where not exists (
        select from pg_init_privs as i
        where i.classoid = o.catalog and i.objoid = o.oid and i.objsubid = o.part and i.initprivs = o.acl
    )
    and not exists (
        select from pg_init_privs as i, aclexplode(i.initprivs) as initial
        where i.classoid = o.catalog and i.objoid = o.oid and i.objsubid in (0, o.part)
            and initial.grantee in (0, g.oid) and initial.privilege_type = g.privilege_type
    );
