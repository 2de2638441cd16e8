-- USING says which rows may be changed, WITH CHECK what they may be changed into. PostgreSQL falls back on USING;
-- who reads the policy should not have to know that, and a policy for INSERT has nothing to fall back on.
select
    'policy_without_check' as name,
    'warning' as level,
    audit.name(polrelid) || '.' || quote_ident(polname) as object,
    'The policy has no WITH CHECK.' as detail,
    format('alter policy %I on %s with check (%s);', polname, audit.name(polrelid),
        coalesce(audit.expression(polqual, polrelid), 'user_id = app.current_user_id()')) as remediation,
    'policy_without_check:' || audit.name(polrelid) || '.' || quote_ident(polname) as key
from pg_policy
join audit.tables on "table" = polrelid
where polcmd in ('*', 'a', 'w') and polwithcheck is null;
