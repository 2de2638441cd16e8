-- USING says which rows may be changed, WITH CHECK what they may be changed into. PostgreSQL falls back on USING;
-- who reads the policy should not have to know that, and a policy for INSERT has nothing to fall back on.
select
    'policy_without_check' as name,
    'warning' as level,
    audit.name(p.polrelid) || '.' || quote_ident(p.polname) as object,
    'The policy has no WITH CHECK.' as detail,
    format('alter policy %I on %s with check (%s);', p.polname, audit.name(p.polrelid),
        coalesce(case when c.compares_tenant or not p.polpermissive then c.expression end, t.rule, 'false'))
        as remediation,
    'policy_without_check:' || audit.name(p.polrelid) || '.' || quote_ident(p.polname) as key
from pg_policy as p
join audit.tables as t on t."table" = p.polrelid
left join audit.clauses as c on c."table" = p.polrelid and c.policy = p.polname and c.implied
where p.polcmd in ('*', 'a', 'w') and p.polwithcheck is null;
