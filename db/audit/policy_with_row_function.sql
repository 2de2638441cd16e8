-- A function of a column runs once per row, before any filter of the query that is not leakproof, and keeps the
-- planner from the index. That holds for an operator somebody made, too.
select
    'policy_with_row_function' as name,
    'warning' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) calls %s for each row.', upper(c.clause), c.expression, audit.routine(f.oid)) as detail,
    format('alter policy %I on %s %s (user_id = app.current_user_id());', c.policy, audit.name(c."table"), c.clause) as remediation,
    'policy_with_row_function:' || audit.name(c."table") || '.' || quote_ident(c.policy) || ':' || audit.routine(f.oid) as key
from audit.clauses as c
cross join lateral (
    select distinct (coalesce(call ->> 'funcid', call ->> 'opfuncid'))::oid as oid
    from jsonb_path_query(c.tree, '$.** ? (@.node == "FUNCEXPR" || @.node == "OPEXPR")') as call
    where call -> 'args' @? '$.** ? (@.node == "VAR")'
        and (call ->> 'node' = 'FUNCEXPR' or (call ->> 'opfuncid')::oid >= 16384)
) as f
join pg_proc as p on p.oid = f.oid
where not c.implied and (p.oid >= 16384 or not p.proleakproof);
