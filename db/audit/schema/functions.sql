-- What the parser made of an expression, as JSON: {"node": "OPEXPR", "opno": "98", "args": [...], ...}.
-- The catalogs keep policies as parse trees; reading the tree instead of a text means that neither layout, nor
-- quoting, nor a name inside of a string can deceive a check. `<>` is the tree's null.
create or replace function audit.parse_tree(tree pg_node_tree) returns jsonb
language sql immutable strict parallel safe
set search_path = ''
as $$
    select string_agg(
        case when token !~ '^[:})]' and before !~ '^[:(]' then ',' else '' end || case
            when token ~ '^{' then format('{"node":%s', to_json(substr(token, 2)))
            when token = '(' then '['
            when token = ')' then ']'
            when token = '}' then '}'
            when token = '<>' then 'null'
            when token ~ '^:' then format(',%s:', to_json(substr(token, 2)))
            else to_json(token)::text
        end, '' order by place)::jsonb
    from (
        select place, match[1] as token, lag(match[1]) over (order by place) as before
        from regexp_matches(tree::text, '{[A-Z_0-9]*|[}()]|\d+ \[[^]]*\]|(?:\\.|[^\s(){}])+', 'g')
            with ordinality as matches (match, place)
    ) as tokens
$$;

comment on function audit.parse_tree(pg_node_tree) is 'A parse tree of the catalogs as JSON.';

-- Names and expressions as they are written with an empty search_path: always with their schema.
create or replace function audit.name(relation oid) returns text
language sql stable strict parallel safe set search_path = '' as $$ select relation::regclass::text $$;

create or replace function audit.routine(routine oid) returns text
language sql stable strict parallel safe set search_path = '' as $$ select routine::regprocedure::text $$;

create or replace function audit.expression(tree pg_node_tree, relation regclass) returns text
language sql stable strict parallel safe set search_path = '' as $$ select pg_get_expr(tree, relation) $$;

comment on function audit.name(oid) is 'The name of a relation with its schema.';
comment on function audit.routine(oid) is 'The name of a function with its schema and arguments.';
comment on function audit.expression(pg_node_tree, regclass) is 'An expression as SQL, every name with its schema.';

-- Looked up in the catalog: a cast to regprocedure needs the right to use the schema, which an auditor does not have.
create or replace function audit.context_function() returns oid
language sql stable parallel safe set search_path = ''
as $$
    select oid from pg_proc
    where pronamespace = (select oid from pg_namespace where nspname = 'app')
        and proname = 'current_user_id' and pronargs = 0
$$;

comment on function audit.context_function() is 'app.current_user_id(): the function that says who is calling; or null.';

-- pg_depend says what belongs to an extension; that is its author's to audit.
create or replace function audit.in_extension(catalog regclass, object oid) returns boolean
language sql stable strict parallel safe set search_path = ''
as $$ select exists (select from pg_depend where classid = catalog and objid = object and deptype = 'e') $$;

comment on function audit.in_extension(regclass, oid) is 'Whether an object belongs to an extension.';

create or replace function audit.body(routine oid) returns text
language sql stable strict parallel safe set search_path = '' as $$ select pg_get_function_sqlbody(routine) $$;

comment on function audit.body(oid) is 'The body of an SQL function that the catalogs keep as a parse tree; else null.';
