-- A policy that lets another role see rows of every tenant is a wall taken down for that role.
select
    'policy_for_other_role' as name,
    'warning' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) lets %s pass for every tenant.', upper(c.clause), c.expression,
        array_to_string(c.roles::regrole[], ', ')) as detail,
    c.remediation as remediation,
    'policy_for_other_role:' || c.key as key
from audit.clauses as c
where not c.binds_api and c.permissive and not c.implied and not c.compares_tenant and not c.never_holds;
