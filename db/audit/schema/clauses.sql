-- Every USING and every WITH CHECK of the tables that app_api can or could reach, with what its parse tree says.
--
-- compares_tenant: the clause is "tenant column = app.current_user_id()", or that and something else. One of the two
-- may be converted to the other's type (varchar, uuid). What holds different strings for equal would let two users be
-- one, so it does not count: a function around a side, two conversions, char(n), a nondeterministic collation.
-- reads_row: it reads any column. One that reads none is true for all rows or for no row.
create or replace view audit.clauses as
select
    t."table",
    p.polname as policy,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all'
    end as command,
    p.polpermissive as permissive,
    p.polroles as roles,
    p.polroles = '{0}' or p.polroles && array(select role::oid from audit.api_roles) as binds_api,
    c.clause,
    c.implied,
    audit.expression(c.node_tree, p.polrelid) as expression,
    parsed.tree,
    exists (
        select
        from audit.conjuncts(parsed.tree) as conjunct
        join pg_operator as o on o.oid = (conjunct ->> 'opno')::oid
        cross join lateral (values
            (conjunct #> '{args,0}', conjunct #> '{args,1}'),
            (conjunct #> '{args,1}', conjunct #> '{args,0}')
        ) as sides (tenant, caller)
        where conjunct ->> 'node' = 'OPEXPR'
            and o.oprname = '=' and o.oprnamespace = 'pg_catalog'::regnamespace
            and 'bpchar'::regtype not in (o.oprleft, o.oprright)
            and not exists (
                select from pg_collation
                where oid = (conjunct ->> 'inputcollid')::oid and not collisdeterministic
            )
            and not sides.tenant @? '$.** ? (@.node == "SUBLINK")'
            and audit.operand(sides.tenant)
                @> jsonb_build_object('node', 'VAR', 'varattno', tenant.attnum::text)
            and audit.operand(sides.caller)
                @> jsonb_build_object('node', 'FUNCEXPR', 'funcid', audit.context_function()::text)
            and jsonb_array_length(
                jsonb_path_query_array(conjunct, 'strict $.** ? (@.node == "COERCEVIAIO")')
            ) < 2
    ) as compares_tenant,
    parsed.tree @? '$.** ? (@.node == "VAR")' as reads_row,
    parsed.tree @> '{"node": "CONST"}' and (
        parsed.tree @> '{"constisnull": "true"}' or parsed.tree ->> 'constvalue' like '1 [ 0 %'
    ) as never_holds,
    case
        when t.rule is null then format('drop policy %I on %s;', p.polname, audit.name(t."table"))
        else format('alter policy %I on %s %s (%s);', p.polname, audit.name(t."table"), c.clause, t.rule)
    end as remediation,
    audit.name(t."table") || '.' || quote_ident(p.polname) || case c.clause when 'using' then '' else ':check' end
        as key
from pg_policy as p
join audit.tables as t on t."table" = p.polrelid
cross join lateral (
    values ('using', p.polqual, false), ('with check', p.polwithcheck, false),
        ('with check', case when p.polwithcheck is null and p.polcmd in ('*', 'w') then p.polqual end, true)
) as c (clause, node_tree, implied)
cross join lateral (select audit.parse_tree(c.node_tree) as tree offset 0) as parsed
left join pg_attribute as tenant on tenant.attrelid = p.polrelid and tenant.attname = t.tenant_column
where c.node_tree is not null;

comment on view audit.clauses is
    'Every clause of every policy, as SQL and as a parse tree, and whether it binds its rows to the caller.';
comment on column audit.clauses.implied is 'A policy without WITH CHECK checks new rows with its USING.';
comment on column audit.clauses.binds_api is
    'Whether the policy applies to app_api: by name, by membership or to PUBLIC.';
comment on column audit.clauses.compares_tenant is 'Whether no row can pass but those of app.current_user_id().';
comment on column audit.clauses.reads_row is 'Whether it reads any column of the row.';
comment on column audit.clauses.never_holds is 'Whether it is the constant false or null.';
comment on column audit.clauses.remediation is 'The SQL that makes it compare the tenant.';
