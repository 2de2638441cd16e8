-- A function called with a column runs once per row, before any condition of the query that is not leakproof, and
-- prevents the use of an index. The same is true of a user-defined operator and of a cast of the column.
select
    'policy_with_function_per_row' as name,
    'warning' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) calls %s for each row%s.', upper(c.clause), c.expression,
        string_agg(audit.routine(p.oid), ', ' order by p.oid),
        case when bool_or(f.takes_tenant) then
            ', because it takes the tenant column: one without a column is called once for a statement' end) as detail,
    case
        when c.is_only_condition then c.remediation
        else audit.advice(format('Rewrite the condition without the function: alter policy %I on %s %s (…);', c.policy,
            audit.name(c."table"), c.clause))
    end as remediation,
    'policy_with_function_per_row:' || c.key as key
from audit.clauses as c
left join audit.tenant_columns as tenant on tenant.relation = c."table"
cross join lateral (
    select distinct (case call ->> 'node'
        when 'FUNCEXPR' then call ->> 'funcid'
        when 'COERCEVIAIO' then (
            select typoutput::oid::text from pg_type
            where oid = coalesce(call #>> '{arg,vartype}', call #>> '{arg,resulttype}')::oid)
        else call ->> 'opfuncid'
    end)::oid as oid,
        call ->> 'node' = 'FUNCEXPR'
            and call -> 'args' @> jsonb_build_array(jsonb_build_object('node', 'VAR', 'varattno', tenant.attnum::text))
            as takes_tenant
    from jsonb_path_query(c.tree, 'strict $.** ? (@.node == "FUNCEXPR" || @.node == "OPEXPR"
        || @.node == "DISTINCTEXPR" || @.node == "SCALARARRAYOPEXPR" || @.node == "COERCEVIAIO")') as call
    where call @? '$.** ? (@.node == "VAR")'
        and (call ->> 'node' in ('FUNCEXPR', 'COERCEVIAIO') or (call ->> 'opfuncid')::oid >= 16384)
) as f
join pg_proc as p on p.oid = f.oid
where not c.implied and (p.oid >= 16384 or not p.proleakproof)
group by c."table", c.policy, c.clause, c.expression, c.is_only_condition,
    c.remediation, c.key;
