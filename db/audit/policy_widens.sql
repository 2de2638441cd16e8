-- Permissive policies of one command are or-ed: the wider one wins. A second one is either superfluous or a hole;
-- what is meant to narrow is AS RESTRICTIVE.
select
    'policy_widens' as name,
    'warning' as level,
    audit.name(p.polrelid) || '.' || quote_ident(p.polname) as object,
    format('Permissive for the same command as %s: a row that either lets pass, passes.',
        string_agg(quote_ident(older.polname), ', ' order by older.polname)) as detail,
    format('drop policy %I on %s;', p.polname, audit.name(p.polrelid)) as remediation,
    'policy_widens:' || audit.name(p.polrelid) || '.' || quote_ident(p.polname) as key
from audit.tables as t
cross join (select array_agg(role::oid) || 0::oid as oids from audit.api_roles) as api
join pg_policy as p on p.polrelid = t."table" and p.polpermissive and p.polroles && api.oids
join pg_policy as older on older.polrelid = p.polrelid and older.oid < p.oid and older.polpermissive
    and older.polroles && api.oids and (older.polcmd = p.polcmd or '*' in (older.polcmd, p.polcmd))
group by p.polrelid, p.polname;
