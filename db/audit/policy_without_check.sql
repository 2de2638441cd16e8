-- USING decides which existing rows are visible, WITH CHECK which new rows may be written. Where WITH CHECK is missing,
-- PostgreSQL applies USING; a reader of the policy should not need to know that, and a policy for INSERT has no USING.
select
    'policy_without_check' as name,
    'warning' as level,
    audit.name(p.polrelid) || '.' || quote_ident(p.polname) as object,
    'The policy has no WITH CHECK.' as detail,
    audit.remedy(format('alter policy %I on %s with check (%s);', p.polname, audit.name(p.polrelid),
        coalesce(case when c.compares_tenant or not p.polpermissive then c.expression end, t.tenant_condition, 'false')),
        audit.is_ours(p.polrelid)) as remediation,
    'policy_without_check:' || audit.name(p.polrelid) || '.' || quote_ident(p.polname) as key
from pg_policy as p
join audit.tables as t on t."table" = p.polrelid
left join audit.clauses as c on c."table" = p.polrelid and c.policy = p.polname and c.implied
where p.polcmd in ('*', 'a', 'w') and p.polwithcheck is null;
