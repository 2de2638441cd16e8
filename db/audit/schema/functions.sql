-- Returns {"node": "OPEXPR", "opno": "98", "args": [...], ...}. The catalogs keep policies as parse trees. Checks read
-- the tree instead of the text, so that neither layout nor quoting nor a name inside a string can mislead them.
-- In the tree `<>` is null, and blanks and brackets in names are escaped. A field is matched together with its value,
-- because the value may look like a field.
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
            when token ~ '^:' then format(',%s:%s', to_json(substring(token from '^:(\w+)')), case
                when substring(token from ' (.*)') = '<>' then 'null'
                else to_json(substring(token from ' (.*)'))::text
            end)
            when token = '<>' then 'null'
            else to_json(token)::text
        end, '' order by place)::jsonb
    from (
        select place, match[1] as token, lag(match[1]) over (order by place) as before
        from regexp_matches(tree::text,
            ':\w+(?: \d+ \[[^]]*\]| (?:\\.|[^ \n\t(){}\\])+)?|{[A-Z_0-9]*|[}()]|(?:\\.|[^ \n\t(){}\\])+', 'g')
            with ordinality as matches (match, place)
    ) as tokens
$$;

comment on function audit.parse_tree(pg_node_tree) is 'An expression''s parse tree, as the catalogs keep it, as JSON.';

create or replace function audit.conjuncts(tree jsonb) returns setof jsonb
language sql immutable strict parallel safe
set search_path = ''
as $$
    with recursive parts (part) as (
        select tree
        union all
        select jsonb_array_elements(part -> 'args') from parts where part @> '{"node": "BOOLEXPR", "boolop": "and"}'
    )
    select part from parts where not part @> '{"node": "BOOLEXPR", "boolop": "and"}'
$$;

comment on function audit.conjuncts(jsonb) is 'The conditions that AND combines in a parse tree, at any depth.';

create or replace function audit.operand(tree jsonb) returns jsonb
language sql immutable strict parallel safe
set search_path = ''
as $$
    with recursive layers (layer, depth) as (
        select tree, 0
        union all
        select
            case layer ->> 'node' when 'SUBLINK' then layer #> '{subselect,targetList,0,expr}' else layer -> 'arg' end,
            depth + 1
        from layers
        where layer ->> 'node' in ('RELABELTYPE', 'COERCEVIAIO', 'COLLATEEXPR', 'COERCETODOMAIN')
            or layer @> '{"node": "SUBLINK", "subLinkType": "4"}'
    )
    select layer from layers order by depth desc limit 1
$$;

-- The bytes of a text in a tree follow four that say how many they are.
create or replace function audit.constant(tree jsonb) returns text
language sql stable strict parallel safe
set search_path = ''
as $$
    select coalesce(convert_from(
        decode(string_agg(lpad(to_hex((match[1]::int + 256) % 256), 2, '0'), '' order by place), 'hex'),
        current_setting('server_encoding')), '')
    from regexp_matches(split_part(tree ->> 'constvalue', '[', 2), '-?\d+', 'g') with ordinality as bytes (match, place)
    where place > 4 and (tree ->> 'consttype')::oid = 'text'::regtype
$$;

comment on function audit.constant(jsonb) is 'The text of a constant in a parse tree; empty if it has another type.';

comment on function audit.operand(jsonb) is
    'One side of a comparison without what does not change its value: casts that call no function, a collation, and
"(select …)" around a single value.';

-- Names as PostgreSQL writes them when search_path is empty: always with their schema.
create or replace function audit.name(relation oid) returns text
language sql stable strict parallel safe set search_path = '' as $$ select relation::regclass::text $$;

create or replace function audit.routine(routine oid) returns text
language sql stable strict parallel safe set search_path = '' as $$ select routine::regprocedure::text $$;

create or replace function audit.expression(tree pg_node_tree, relation regclass) returns text
language sql stable strict parallel safe set search_path = '' as $$ select pg_get_expr(tree, relation) $$;

create or replace function audit.type(type oid) returns text
language sql stable strict parallel safe set search_path = '' as $$ select format_type(type, null) $$;

comment on function audit.type(oid) is 'The name of a type, with its schema unless it is PostgreSQL''s own.';
comment on function audit.name(oid) is 'The name of a relation, with its schema.';
comment on function audit.routine(oid) is 'The name of a function or procedure, with its schema and argument types.';
comment on function audit.expression(pg_node_tree, regclass) is 'An expression of a relation as SQL, names with schema.';

-- Objects of an extension are left to the extension's author. plpgsql itself has none: ALTER EXTENSION plpgsql ADD did it.
create or replace function audit.in_extension(catalog regclass, object oid) returns boolean
language sql stable strict parallel safe
return exists (
    select from pg_catalog.pg_depend
    where classid = catalog and objid = object and deptype = 'e' and (refobjid >= 16384 or object < 16384)
);

comment on function audit.in_extension(regclass, oid) is 'Whether an object belongs to an extension.';

create or replace function audit.leave_extension(catalog regclass, object oid) returns text
language sql stable strict parallel safe set search_path = ''
as $$
    select coalesce(string_agg(format('alter extension %I drop %s %s; ', e.extname, o.type, o.identity), ''), '')
    from pg_depend as d
    join pg_extension as e on e.oid = d.refobjid
    cross join lateral pg_identify_object(catalog, object, 0) as o
    where d.classid = catalog and d.objid = object and d.deptype = 'e' and d.refclassid = 'pg_extension'::regclass
$$;

comment on function audit.leave_extension(regclass, oid) is
    'The SQL after which an object can be dropped that is in an extension; empty if it is in none.';

create or replace function audit.in_brackets(expression text) returns text
language sql immutable strict parallel safe
return case when expression like '(%)' then expression else '(' || expression || ')' end;

comment on function audit.in_brackets(text) is 'An expression as PostgreSQL writes it, as a policy wants it.';

create or replace function audit.is_viewed(relation oid) returns boolean
language sql stable strict parallel safe
return exists (
    select from pg_catalog.pg_depend join pg_catalog.pg_rewrite on pg_rewrite.oid = objid
    where refclassid = 'pg_class'::regclass and refobjid = relation
        and classid = 'pg_rewrite'::regclass and ev_class <> relation
);

comment on function audit.is_viewed(oid) is 'Whether a view or a rule reads a relation.';

-- What pg_get_indexdef() writes after "CREATE INDEX name ON table USING method (".
create or replace function audit.index_columns(index oid) returns text
language sql stable strict parallel safe set search_path = ''
as $$
    select substr(pg_get_indexdef(index), 1 + length(format('CREATE %sINDEX %I ON %s%s USING %I (',
        case when i.indisunique then 'UNIQUE ' else '' end, c.relname, case c.relkind when 'I' then 'ONLY ' else '' end,
        i.indrelid::regclass, m.amname)))
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    join pg_am as m on m.oid = c.relam
    where i.indexrelid = index
$$;

create or replace function audit.constraint_definition(of_constraint oid) returns text
language sql stable strict parallel safe set search_path = '' as $$ select pg_get_constraintdef(of_constraint) $$;

comment on function audit.index_columns(oid) is
    'The definition of an index from its first column on, without the opening parenthesis.';
comment on function audit.constraint_definition(oid) is 'A constraint as SQL, names with their schema.';

create or replace function audit.body(routine oid) returns text
language sql stable strict parallel safe set search_path = '' as $$ select pg_get_function_sqlbody(routine) $$;

comment on function audit.body(oid) is
    'The body of an SQL function that was created with RETURN or BEGIN ATOMIC; null for all others.';

-- "x between 1 and 2 and y" is kept as ((x >= 1) AND (x <= 2)) AND y, and after a dump and a restore as one AND of three.
-- An operand is a name, or a group in parentheses with two more inside each other at most.
create or replace function audit.flattened(definition text) returns text
language sql immutable strict parallel safe set search_path = ''
as $$
    select regexp_replace(regexp_replace(definition, format(nested, operand, 'AND'), '\1', 'g'),
        format(nested, operand, 'OR'), '\1', 'g')
    from (values ('(?<=\()\((%1$s(?: %2$s %1$s)+)\)(?= %2$s )',
        '(?:[\w."]*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|[\w."]+)')) as patterns (nested, operand)
$$;

comment on function audit.flattened(text) is
    'A definition in which no AND begins with an AND, and no OR with an OR: the same before a dump and after it.';

-- Nobody knows who else relies on an object that is not the product's.
create or replace function audit.is_ours(owner oid, namespace oid) returns boolean
language sql stable parallel safe set search_path = ''
as $$
    select exists (select from pg_roles where oid = owner and rolname in ('app_owner', 'app_migrator'))
        or exists (
            select from pg_namespace as n
            where n.oid = namespace
                and (nspname = 'app' or nspowner in (select oid from pg_roles where rolname = 'app_owner'))
        )
$$;

create or replace function audit.is_ours(relation oid) returns boolean
language sql stable parallel safe set search_path = ''
as $$ select audit.is_ours(relowner, relnamespace) from pg_class where oid = relation $$;

comment on function audit.is_ours(oid, oid) is
    'Whether an object belongs to the product: app_owner or app_migrator owns it, or app_owner owns its schema.';
comment on function audit.is_ours(oid) is 'Whether a relation belongs to the product.';

create or replace function audit.applies(roles oid[], relation oid, role oid) returns boolean
language sql stable strict parallel safe set search_path = ''
as $$
    select c.relrowsecurity and not (r.rolsuper or r.rolbypassrls)
        and (c.relforcerowsecurity or not pg_has_role(role, c.relowner, 'usage'))
        and exists (select from unnest(roles) as named where named = 0 or pg_has_role(role, named, 'usage'))
    from pg_class as c, pg_roles as r
    where c.oid = relation and r.oid = role
$$;

comment on function audit.applies(oid[], oid, oid) is
    'Whether a policy for these roles applies to a role that queries a relation.';

-- A function, because Citus would copy what a view depends on to its workers: pg_user_mappings, too.
create or replace function audit.user_mappings(out umuser oid, out srvname name) returns setof record
language sql stable parallel safe set search_path = ''
as $$ select umuser, srvname from pg_user_mappings $$;

comment on function audit.user_mappings() is 'Who logs in to which foreign server.';

create or replace function audit.advice(text) returns text
language sql immutable strict parallel safe set search_path = ''
as $$ select '-- ' || regexp_replace($1, '[\n\r]+', e'\n-- ', 'g') $$;

create or replace function audit.remedy(statements text, is_safe boolean) returns text
language sql stable parallel safe set search_path = ''
as $$
    select case when is_safe then statements else audit.advice(
        'It is not app_owner''s, and others may rely on it as it is. If nobody does: ' || statements) end
$$;

create or replace function audit.may_revoke(grantee text, owner oid, namespace oid) returns boolean
language sql stable parallel safe set search_path = ''
as $$ select grantee in ('app_api', 'app_auditor') or audit.is_ours(owner, namespace) $$;

comment on function audit.may_revoke(text, oid, oid) is
    'Whether revoking a privilege concerns nobody but the product: it is app_api''s or app_auditor''s, or on its object.';

comment on function audit.advice(text) is 'A remediation to be read first: a comment in SQL.';
comment on function audit.remedy(text, boolean) is
    'The statements, or a comment that has them where they could break what others rely on.';

-- A path names its schemas as they are quoted, with "$user" for the schema of the session's user.
create or replace function audit.open_schemas(path text, for_role oid) returns text
language sql stable parallel safe set search_path = ''
as $$
    select string_agg(distinct quote_ident(n.nspname), ', ')
    from regexp_matches(split_part(path, '=', 2), '"(?:[^"]|"")*"|[^", ]+', 'g') as entry
    join pg_namespace as n on quote_ident(n.nspname) = entry[1] or n.nspname = entry[1]
    cross join lateral aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as g
    left join pg_roles as r on r.oid = g.grantee
    where g.privilege_type = 'CREATE' and g.grantee not in (for_role, to_regrole('app_owner'))
        and r.rolsuper is not true and r.rolname is distinct from 'pg_database_owner'
$$;

comment on function audit.open_schemas(text, oid) is
    'The schemas of a setting search_path=… in which others than a role, app_owner and superusers may create objects.';
