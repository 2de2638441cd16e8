-- Permissive policies for the same command are combined with OR: a row passes if any one of them passes it. A second
-- one is either redundant or widens access; one that is meant to narrow access must be AS RESTRICTIVE.
select
    'policy_multiple_permissive' as name,
    'warning' as level,
    audit.name(p.polrelid) || '.' || quote_ident(p.polname) as object,
    format('Permissive for the same command as %s: a row passes if either passes it.',
        string_agg(quote_ident(older.polname), ', ' order by older.polname)) as detail,
    case
        -- Without it every command would still have a policy.
        when bool_or(older.polcmd in ('*', p.polcmd))
            then audit.remedy(format('drop policy %I on %s;', p.polname, audit.name(p.polrelid)),
                audit.is_ours(p.polrelid))
        else audit.advice(format('Drop one of them; this one is for one command only: drop policy %s on %s;',
            min(quote_ident(older.polname)), audit.name(p.polrelid)))
    end as remediation,
    'policy_multiple_permissive:' || audit.name(p.polrelid) || '.' || quote_ident(p.polname) as key
from audit.tables as t
cross join (select array_agg(role::oid) || 0::oid as oids from audit.api_roles) as api
join pg_policy as p on p.polrelid = t."table" and p.polpermissive and p.polroles && api.oids
join pg_policy as older on older.polrelid = p.polrelid and older.oid < p.oid and older.polpermissive
    and older.polroles && api.oids and (older.polcmd = p.polcmd or '*' in (older.polcmd, p.polcmd))
group by p.polrelid, p.polname;
