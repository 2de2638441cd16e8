-- A policy isolates tenants if it compares the tenant column with app.current_user_id(), alone or combined with other
-- conditions by AND. Anything else lets other tenants in, or cannot be verified automatically.
select
    'policy_without_tenant' as name,
    'error' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) does not compare user_id with app.current_user_id().', upper(c.clause), c.expression) as detail,
    c.remediation as remediation,
    'policy_without_tenant:' || c.key as key
from audit.clauses as c
where c.applies_to_api and c.permissive and not c.implied and c.reads_row and not c.compares_tenant;
