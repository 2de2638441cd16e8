-- A policy isolates tenants if it compares the tenant column with its function, as audit.tenants has them, alone or
-- combined with other conditions by AND. Anything else lets other tenants in, or cannot be verified automatically.
select
    'policy_without_tenant' as name,
    'error' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) does not compare %s.%s', upper(c.clause), c.expression, (
        select string_agg(format('%s with %s', x."column", x.signature), ' or ' order by x.place)
        from audit.contexts as x
        where x."column" = t.tenant_column or t.tenant_column is null
    ), case when c.lists_tenants then
        ' It passes the rows of every tenant in a list, not only of the one that the session acts for.' end) as detail,
    c.remediation as remediation,
    'policy_without_tenant:' || c.key as key
from audit.clauses as c
join audit.tables as t on t."table" = c."table"
where c.applies_to_api and c.permissive and not c.implied and c.reads_row and not c.compares_tenant;
