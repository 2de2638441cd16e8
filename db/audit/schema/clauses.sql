-- Every USING and every WITH CHECK, with what its parse tree says.
--
-- compares_tenant: the clause is "tenant column = app.current_user_id()", or that and something else. Binary
-- coercion (varchar) and a conversion of the function's text (uuid) may wrap the two sides. A collation that holds
-- different strings for equal would let two users be one, so it does not count.
-- reads_row: it reads any column. One that reads none is true for all rows or for no row.
create or replace view audit.clauses as
select
    p.polrelid::regclass as "table",
    p.polname as policy,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all'
    end as command,
    p.polpermissive as permissive,
    p.polroles as roles,
    p.polroles = '{0}' or p.polroles && array(select role::oid from audit.api_roles) as binds_api,
    c.clause,
    c.implied,
    audit.expression(c.tree, p.polrelid) as expression,
    t.tree,
    exists (
        select
        from jsonb_array_elements(
            case when t.tree @> '{"node": "BOOLEXPR", "boolop": "and"}' then t.tree -> 'args'
                else jsonb_build_array(t.tree) end
        ) as conjunct
        join pg_operator as o on o.oid = (conjunct ->> 'opno')::oid
        where conjunct ->> 'node' = 'OPEXPR'
            and o.oprname = '=' and o.oprnamespace = 'pg_catalog'::regnamespace
            and not exists (
                select from pg_collation
                where oid = (conjunct ->> 'inputcollid')::oid and not collisdeterministic
            )
            and jsonb_path_exists(
                conjunct,
                '$.args[*] ? (@.node == "VAR" || @.node == "RELABELTYPE").**{0 to 1}
                    ? (@.node == "VAR" && @.varattno == $column && @.varlevelsup == "0")',
                jsonb_build_object('column', tenant.attnum::text)
            )
            and jsonb_path_exists(
                conjunct,
                '$.args[*] ? (@.node == "FUNCEXPR" || @.node == "RELABELTYPE" || @.node == "COERCEVIAIO").**{0 to 1}
                    ? (@.node == "FUNCEXPR" && @.funcid == $context)',
                jsonb_build_object('context', audit.context_function()::text)
            )
    ) as compares_tenant,
    t.tree @? '$.** ? (@.node == "VAR")' as reads_row
from pg_policy as p
cross join lateral (
    values ('using', p.polqual, false), ('with check', p.polwithcheck, false),
        ('with check', case when p.polwithcheck is null and p.polcmd in ('*', 'w') then p.polqual end, true)
) as c (clause, tree, implied)
cross join lateral (select audit.parse_tree(c.tree) as tree) as t
left join pg_attribute as tenant
    on tenant.attrelid = p.polrelid and tenant.attname = 'user_id' and not tenant.attisdropped
where c.tree is not null;

comment on view audit.clauses is
    'Every clause of every policy, as SQL and as a parse tree, and whether it binds its rows to the caller.';
comment on column audit.clauses.implied is 'A policy without WITH CHECK checks new rows with its USING.';
comment on column audit.clauses.binds_api is 'Whether the policy applies to app_api: by name, by membership or to PUBLIC.';
comment on column audit.clauses.compares_tenant is 'Whether no row can pass but those of app.current_user_id().';
comment on column audit.clauses.reads_row is 'Whether it reads any column of the row.';
