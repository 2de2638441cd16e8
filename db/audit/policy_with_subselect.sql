-- A sub-select in a policy is evaluated as a filter on each row instead of as an index condition, reads tables that
-- have policies of their own, and is not supported by Citus.
select
    'policy_with_subselect' as name,
    'warning' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) contains a sub-select.', upper(c.clause), c.expression) as detail,
    case
        when c.is_only_condition then c.remediation
        else audit.advice(format('Rewrite the condition without a sub-select: alter policy %I on %s %s (…);', c.policy,
            audit.name(c."table"), c.clause))
    end as remediation,
    'policy_with_subselect:' || c.key as key
from audit.clauses as c
where not c.implied and c.tree @? '$.** ? (@.node == "SUBLINK")';
