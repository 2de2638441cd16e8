-- A policy that lets another role see rows of every tenant is a wall taken down for that role.
select
    'policy_for_other_role' as name,
    'warning' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) lets %s pass for every tenant.', upper(c.clause), c.expression,
        array_to_string(c.roles::regrole[], ', ')) as detail,
    format('alter policy %I on %s %s (user_id = app.current_user_id());', c.policy, audit.name(c."table"), c.clause) as remediation,
    'policy_for_other_role:' || audit.name(c."table") || '.' || quote_ident(c.policy) || case c.clause when 'using' then '' else ':check' end as key
from audit.clauses as c
where not c.binds_api and c.permissive and not c.implied and not c.compares_tenant;
