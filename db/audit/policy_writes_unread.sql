-- UPDATE and DELETE without a condition on a column do not ask for the policies of SELECT. If theirs are satisfied with
-- a lesser role, such as viewer instead of owner, somebody changes or deletes rows that they may not even read.
select
    'policy_writes_unread' as name,
    'warning' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('USING (%s) lets %s %s rows that only %s may read.', c.expression, c.argument, c.command, reading.argument)
        as detail,
    case
        when c.is_only_condition then format('alter policy %I on %s using (%s);', c.policy, audit.name(c."table"),
            replace(c.expression, quote_literal(c.argument), quote_literal(reading.argument)))
        else audit.advice(format('Ask for %s as well: alter policy %I on %s using (…);', reading.argument, c.policy,
            audit.name(c."table")))
    end as remediation,
    'policy_writes_unread:' || c.key as key
from audit.clauses as c
cross join lateral (
    select r.argument, r.rank
    from audit.clauses as r
    where r."table" = c."table" and r.clause = 'using' and r.command in ('select', 'all') and r.applies_to_api
        and r.permissive and r.compares_tenant
    order by r.rank
    limit 1
) as reading
where c.clause = 'using' and c.command in ('update', 'delete') and c.applies_to_api and c.permissive
    and c.compares_tenant and c.rank < reading.rank;
