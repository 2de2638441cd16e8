-- An expression that refers to no column of the row cannot distinguish rows: it passes all of them, or none.
select
    'policy_always_true' as name,
    'error' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) refers to no column: it passes every row or none.', upper(c.clause), c.expression) as detail,
    c.remediation as remediation,
    'policy_always_true:' || c.key as key
from audit.clauses as c
where c.applies_to_api and c.permissive and not c.implied and not c.reads_row and not c.never_holds;
