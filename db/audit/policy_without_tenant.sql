-- What binds a row to its owner is one comparison of the tenant column with app.current_user_id(), by itself or
-- and-ed with more. Anything else lets strangers in, or needs a person to prove that it does not.
select
    'policy_without_tenant' as name,
    'error' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) does not compare user_id with app.current_user_id().', upper(c.clause), c.expression) as detail,
    c.remediation as remediation,
    'policy_without_tenant:' || c.key as key
from audit.clauses as c
where c.binds_api and c.permissive and not c.implied and c.reads_row and not c.compares_tenant;
