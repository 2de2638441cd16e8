-- Every USING and WITH CHECK of the tables in audit.tables, and what its parse tree shows.
--
-- compares_tenant: the expression is "tenant column = its function", as audit.tenants has them, alone or with AND. An
-- argument of the function is a constant. One side may be cast to the type of the other (varchar, uuid). A comparison in
-- which different strings can be equal does not count, because two tenants would share their rows: a function around a
-- side, two casts, char(n), a nondeterministic collation.
create or replace view audit.clauses as
select
    t."table",
    p.polname as policy,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all'
    end as command,
    p.polpermissive as permissive,
    p.polroles as roles,
    p.polroles = '{0}' or p.polroles && array(select role::oid from audit.api_roles) as applies_to_api,
    c.clause,
    c.implied,
    audit.expression(c.node_tree, p.polrelid) as expression,
    parsed.tree,
    compared.argument is not null as compares_tenant,
    nullif(compared.argument, '') as argument,
    array_position(tenant.arguments, compared.argument) as rank,
    exists (
        select from jsonb_path_query(parsed.tree, 'strict $.** ? (@.node == "SCALARARRAYOPEXPR" || @.node == "SUBLINK")')
            as list
        where audit.operand(coalesce(list -> 'testexpr', list) #> '{args,0}')
            @> jsonb_build_object('node', 'VAR', 'varattno', tenant.attnum::text)
    ) as lists_tenants,
    made.statement is not null or p.polpermissive and not parsed.tree @> '{"node": "BOOLEXPR"}' as is_only_condition,
    parsed.tree @? '$.** ? (@.node == "VAR")' as reads_row,
    parsed.tree @> '{"node": "CONST"}' and (
        parsed.tree @> '{"constisnull": "true"}' or parsed.tree ->> 'constvalue' like '1 [ 0 %'
    ) as never_holds,
    made.statement is not null as differs_from_release,
    audit.remedy(case
        when made.statement is not null then made.statement
        -- The function would ask the policy that asks the function.
        when t.tenant_condition is null or asks_back then format('drop policy %I on %s;', p.polname, audit.name(t."table"))
        else format('alter policy %I on %s %s (%s);', p.polname, audit.name(t."table"), c.clause, t.tenant_condition)
    end, audit.is_ours(t."table")) as remediation,
    audit.name(t."table") || '.' || quote_ident(p.polname) || case c.clause when 'using' then '' else ':check' end
        as key
from pg_policy as p
join audit.tables as t on t."table" = p.polrelid
cross join lateral (
    values ('using', p.polqual, false), ('with check', p.polwithcheck, false),
        ('with check', case when p.polwithcheck is null and p.polcmd in ('*', 'w') then p.polqual end, true)
) as c (clause, node_tree, implied)
cross join lateral (select audit.parse_tree(c.node_tree) as tree offset 0) as parsed
left join audit.tenant_columns as tenant on tenant.relation = p.polrelid
left join lateral (
    -- Of several the one that asks for most. A function without an argument is asked for nothing.
    select coalesce(audit.constant(audit.operand(sides.caller) #> '{args,0}'), '') as argument
    from audit.conjuncts(parsed.tree) as conjunct
    join pg_operator as o on o.oid = (conjunct ->> 'opno')::oid
    cross join lateral (values
        (conjunct #> '{args,0}', conjunct #> '{args,1}'),
        (conjunct #> '{args,1}', conjunct #> '{args,0}')
    ) as sides (tenant, caller)
    where conjunct ->> 'node' = 'OPEXPR'
        and o.oprname = '=' and o.oprnamespace::regnamespace::text = 'pg_catalog'
        and 'bpchar'::regtype not in (o.oprleft, o.oprright)
        and not exists (
            select from pg_collation
            where oid = (conjunct ->> 'inputcollid')::oid and not collisdeterministic
        )
        and not sides.tenant @? '$.** ? (@.node == "SUBLINK")'
        and audit.operand(sides.tenant)
            @> jsonb_build_object('node', 'VAR', 'varattno', tenant.attnum::text)
        and audit.is_call(audit.operand(sides.caller), tenant.function)
        and jsonb_array_length(
            jsonb_path_query_array(conjunct, 'strict $.** ? (@.node == "COERCEVIAIO")')
        ) < 2
    order by array_position(tenant.arguments, audit.constant(audit.operand(sides.caller) #> '{args,0}')) desc nulls last
    limit 1
) as compared on true
cross join lateral (
    select not p.polroles && array(select role::oid from audit.api_roles) and exists (
        select from pg_depend
        where classid = 'pg_proc'::regclass and objid = tenant.function
            and refclassid = 'pg_class'::regclass and refobjid = p.polrelid
    ) as asks_back
) as asked
left join lateral (
    select format('alter policy %I on %s%s%s;', p.polname, audit.name(p.polrelid), ' using ' || audit.in_brackets(old),
            ' with check ' || audit.in_brackets(new)) as statement
    from audit.manifest as m
    cross join lateral (
        select position(' using ' in m.sentence) as using, position(' with check ' in m.sentence) as checking
    ) as starts
    cross join lateral (
        select case when starts.using > 0 then substr(m.sentence, starts.using + 7,
                case when checking > 0 then checking else length(m.sentence) + 8 end - starts.using - 7) end as old,
            case when checking > 0 then substr(m.sentence, checking + 12) end as new
    ) as parts
    where m.key = format('policy %s.%I', audit.name(p.polrelid), p.polname)
        and starts_with(split_part(m.sentence, ' ', 3), case p.polcmd when 'r' then 'select' when 'a' then 'insert'
            when 'w' then 'update' when 'd' then 'delete' else 'all' end)
        and (old, new) is distinct from
            (audit.expression(p.polqual, p.polrelid), audit.expression(p.polwithcheck, p.polrelid))
) as made on true
where c.node_tree is not null;

comment on view audit.clauses is
    'USING and WITH CHECK of every policy, as SQL and as a parse tree, and whether it limits rows to the caller''s.';
comment on column audit.clauses.applies_to_api is
    'Whether the policy applies to app_api: by name, as a member of a role, or as PUBLIC.';
comment on column audit.clauses.implied is
    'Whether it stands for a missing WITH CHECK, where PostgreSQL applies USING to new rows.';
comment on column audit.clauses.tree is 'The expression as JSON; see audit.parse_tree().';
comment on column audit.clauses.compares_tenant is
    'Whether it passes no rows but those of the tenant that the session acts for.';
comment on column audit.clauses.argument is
    'What the function of the tenant is asked for, such as a role; null without an argument, or without a comparison.';
comment on column audit.clauses.rank is
    'Its place in the arguments of audit.tenants, of which the first asks for least; null if it is none of them.';
comment on column audit.clauses.lists_tenants is
    'Whether it compares the tenant column with a list: an array, or what a sub-select returns.';
comment on column audit.clauses.is_only_condition is
    'Whether the remediation can replace it as a whole: it has no other condition, or a release made the policy.';
comment on column audit.clauses.reads_row is
    'Whether it refers to a column of the row. If not, it passes every row or none.';
comment on column audit.clauses.never_holds is 'Whether it is the constant false or null.';
comment on column audit.clauses.differs_from_release is
    'Whether a release made the policy, with another USING or WITH CHECK.';
comment on column audit.clauses.remediation is
    'The SQL that replaces it by the comparison of the tenant column, or by what the release made.';
comment on column audit.clauses.key is 'How it appears in the key of a finding.';
