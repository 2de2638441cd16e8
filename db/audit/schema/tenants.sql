-- Whose rows there are: one line for each column that says to whom a row belongs. Every check, audit.policies, the
-- remediations, audit.explain_access() and --prove follow it. Another kind of tenant is another line.
--
-- A table belongs to one tenant. One that has several of these columns belongs to the last of them that is listed here:
-- with user_id first, what a user adds to something shared is not theirs alone, and a policy that says so is an error.
create or replace view audit.tenants ("column", type, function, arguments, setting) as values
    ('user_id'::name, 'text'::regtype, 'app.current_user_id()', null::text[], 'app.user_id'),
    ('workspace_id', 'uuid', 'app.current_workspace_id(text)', '{viewer,editor,owner}', 'app.workspace_id');

comment on view audit.tenants is
    'The columns that say to whom a row belongs, and the function that each is compared with. Of a table with several of
them the last one counts.';
comment on column audit.tenants."column" is 'What the column is called in every table that has it.';
comment on column audit.tenants.type is 'What the function returns. A column of another type is compared with a cast.';
comment on column audit.tenants.function is
    'Returns the tenant that a session acts for, or null: its name and the type of its argument, if it has one.';
comment on column audit.tenants.arguments is
    'What the function may be asked for, the least first: the column''s default asks for that, a policy for any of them, and
a remediation for the last, so that nobody gets a right by running one. Null: the function has no argument.';
comment on column audit.tenants.setting is
    'What the function reads. Only the API sets it, for one transaction. A function, a role or a database that does is a
finding: function_sets_context, function_setting, setting_on_role.';

-- Not a cast to regprocedure: that needs USAGE on schema app, which the auditor does not have.
create or replace view audit.contexts as
select
    t."column",
    t.place,
    t.type,
    audit.type(t.type) as type_name,
    t.function as signature,
    p.oid as function,
    t.arguments,
    format('%s(%s)', n.name, quote_literal(t.arguments[1])) as call,
    format('%s(%s)', n.name, quote_literal(t.arguments[cardinality(t.arguments)])) as strictest_call,
    t.arguments is not null as has_argument,
    lower(t.setting) as setting
from (select *, row_number() over () as place from audit.tenants) as t
cross join split_part(t.function, '(', 1) as n (name)
left join pg_proc as p on p.proname = split_part(n.name, '.', 2) and p.pronargs = (t.arguments is not null)::int
    and audit.routine(p.oid) = t.function;

comment on view audit.contexts is 'The same with the functions themselves, and how each is called.';
comment on column audit.contexts.function is 'The function; null if it does not exist.';

create or replace view audit.tenant_columns as
select distinct on (a.attrelid) a.attrelid as relation, a.attnum, c.*
from pg_attribute as a
join audit.contexts as c on c."column" = a.attname
where not a.attisdropped
order by a.attrelid, c.place desc;

comment on view audit.tenant_columns is 'The tenant column of each relation that has one.';

create or replace function audit.is_call(tree jsonb, of_function oid) returns boolean
language sql stable strict parallel safe
set search_path = ''
as $$
    select tree @> jsonb_build_object('node', 'FUNCEXPR', 'funcid', of_function::text)
        and not tree @? '$.args[*] ? (@.node != "CONST" || @.constisnull == "true")'
        and (select pronargs from pg_proc where oid = of_function)
            = case jsonb_typeof(tree -> 'args') when 'array' then jsonb_array_length(tree -> 'args') else 0 end
$$;

comment on function audit.is_call(jsonb, oid) is
    'Whether a parse tree is a call of a function whose arguments, if it has any, are constants.';
