-- The function of a tenant that may be asked for several things, such as a role, knows those that audit.tenants lists.
-- Asked for another one ("Owner", "admin", a typing error) it returns null: the policy passes no row, and the default
-- makes every insert fail.
select
    'policy_with_unknown_argument' as name,
    'warning' as level,
    e.object as object,
    format('%s asks %s for %s, which it does not know: it returns null. It knows %s.', e.what, k.signature,
        quote_literal(asked.argument), array_to_string(k.arguments, ', ')) as detail,
    case
        when e.is_only_call then e.remediation
        else audit.advice(format('Ask for one that it knows: %s', e.advice))
    end as remediation,
    'policy_with_unknown_argument:' || e.key as key
from (
    select audit.name(c."table") || '.' || quote_ident(c.policy), c."table",
        format('%s (%s)', upper(c.clause), c.expression), c.tree, c.is_only_condition, c.remediation,
        format('alter policy %I on %s %s (…);', c.policy, audit.name(c."table"), c.clause), c.key
    from audit.clauses as c
    where not c.implied
    union all
    select d.object, t."table", 'The default ' || audit.expression(d.adbin, t."table"), audit.parse_tree(d.adbin),
        d.attname = t.tenant_column,
        format('alter table %s alter column %I set default %s;', audit.name(t."table"), d.attname, t.tenant_default),
        format('alter table %s alter column %I set default …;', audit.name(t."table"), d.attname), d.object
    from audit.tables as t
    cross join lateral (
        select adbin, attname, audit.name(t."table") || '.' || quote_ident(attname) as object
        from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum
        where adrelid = t."table" and exists (
            select from audit.contexts
            where has_argument and position(format(':funcid %s ', function) in adbin::text) > 0
        )
        offset 0
    ) as d
) as e (object, "table", what, tree, is_only_call, remediation, advice, key)
cross join audit.contexts as k
cross join lateral (
    select min(argument) as argument
    from jsonb_path_query(e.tree, 'strict $.** ? (@.node == "FUNCEXPR" && @.funcid == $function)',
        jsonb_build_object('function', k.function::text)) as call
    cross join lateral audit.constant(call #> '{args,0}') as argument
    where call @> '{"args": [{"node": "CONST", "constisnull": "false"}]}' and argument <> all (k.arguments)
) as asked
where k.has_argument and asked.argument is not null;
