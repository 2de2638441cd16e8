-- A policy that does not compare the tenant column gives its role the rows of every tenant, whatever the reason.
select
    'policy_for_other_role' as name,
    'warning' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) gives %s access to the rows of every tenant.', upper(c.clause), c.expression,
        array_to_string(c.roles::regrole[], ', ')) as detail,
    c.remediation as remediation,
    'policy_for_other_role:' || c.key as key
from audit.clauses as c
where not c.applies_to_api and c.permissive and not c.implied and not c.compares_tenant and not c.never_holds;
