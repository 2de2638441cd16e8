-- A role is listed if it was granted anything on the table or if a policy names it; the owner is not.
create or replace view audit.policies as
with roles as (
    select t."table", t.rls_enabled, named.role, s.rolsuper or s.rolbypassrls as bypasses,
        array(select oid from pg_roles where pg_has_role(named.role, oid, 'usage')) as acts_as
    from audit.tables as t
    cross join lateral (
        select acl.grantee from pg_class, aclexplode(relacl) as acl where oid = t."table"
        union
        select acl.grantee from pg_attribute, aclexplode(attacl) as acl where attrelid = t."table"
        union
        select unnest(polroles) from pg_policy where polrelid = t."table"
    ) as named (role)
    join pg_roles as s on s.oid = named.role
    where named.role <> t.owner or exists (select from pg_policy where polrelid = t."table" and named.role = any (polroles))
), granted as (
    select r.*, c.place, c.command,
        has_table_privilege(r.role, r."table", c.command) as on_table,
        (select string_agg(quote_ident(attname), ', ' order by attnum)
            from pg_attribute
            where attrelid = r."table" and attnum > 0 and not attisdropped and c.command <> 'delete'
                and has_column_privilege(r.role, r."table", attname, replace(c.command, 'delete', 'select'))
        ) as columns
    from roles as r
    cross join (values (1, 'select'), (2, 'insert'), (3, 'update'), (4, 'delete')) as c (place, command)
), ruled as (
    select g.*, p.policies, p.lets_in, p.whose,
        concat_ws(' and ', p.old_or, p.old_and) as old_row,
        concat_ws(' and ', p.new_or, p.new_and) as new_row
    from granted as g
    cross join lateral (
        select
            coalesce(array_agg(distinct policy order by policy), '{}') as policies,
            coalesce(bool_or(permissive), false) as lets_in,
            case when bool_and(compares_tenant) filter (where permissive) then 'the caller''s own rows' else 'rows' end as whose,
            string_agg(expression, ' or ') filter (where permissive and clause = 'using') as old_or,
            string_agg(expression, ' and ') filter (where not permissive and clause = 'using') as old_and,
            string_agg(expression, ' or ') filter (where permissive and clause = 'with check') as new_or,
            string_agg(expression, ' and ') filter (where not permissive and clause = 'with check') as new_and
        from audit.clauses as l
        where l."table" = g."table" and l.command in ('all', g.command) and (l.roles = '{0}' or l.roles && g.acts_as)
    ) as p
)
select
    "table",
    command,
    role::regrole,
    format('%s may %s%s', role::regrole, command,
        case when on_table then '' else format(' (only %s)', columns) end
        || case
            when not on_table and columns is null then ': not granted'
            when bypasses then ' every row: no policy binds it'
            when not rls_enabled then ' every row: row-level security is off'
            when not lets_in then ' no row: no policy lets it'
            when command = 'insert' then format(' %s: %s', whose, new_row)
            when command = 'update' then format(' %s: before %s, after %s', whose, old_row, new_row)
            else format(' %s: %s', whose, old_row)
        end) as rule,
    policies
from ruled
order by "table"::text, role::regrole::text, place;

comment on view audit.policies is
    'Who may do what to which rows, in words: one line per table, command and role, and the policies that say so.';
