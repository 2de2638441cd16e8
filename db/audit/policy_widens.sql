-- Permissive policies of one command are or-ed: the wider one wins. A second one is either superfluous or a hole;
-- what is meant to narrow is AS RESTRICTIVE.
select
    'policy_widens' as name,
    'warning' as level,
    audit.name(p.polrelid) || '.' || quote_ident(p.polname) as object,
    format('Permissive for the same command as %s: a row that either lets pass, passes.',
        string_agg(distinct quote_ident(older.polname), ', ')) as detail,
    format('drop policy %I on %s;', p.polname, audit.name(p.polrelid)) as remediation,
    'policy_widens:' || audit.name(p.polrelid) || '.' || quote_ident(p.polname) as key
from pg_policy as p
join pg_policy as older on older.polrelid = p.polrelid and older.oid < p.oid
    and (older.polcmd = p.polcmd or '*' in (older.polcmd, p.polcmd))
join audit.clauses as c on c."table" = p.polrelid and c.policy = p.polname and c.binds_api
join audit.clauses as d on d."table" = p.polrelid and d.policy = older.polname and d.binds_api
where p.polpermissive and older.polpermissive
group by p.polrelid, p.polname;
