-- A role is listed if it was granted anything on the table, if a policy names it, or if it is app_api; the owner also if
-- it bypasses the policies. Grants to PUBLIC and policies for PUBLIC count for each of them.
create or replace view audit.policies as
with roles as (
    select t."table", t.rls_enabled, t.tenant_column, named.role,
        s.rolsuper or s.rolbypassrls or not t.rls_forced and pg_has_role(named.role, t.owner, 'usage') as bypasses,
        array(select oid from pg_roles where pg_has_role(named.role, oid, 'usage')) as acts_as
    from audit.tables as t
    cross join lateral (
        select acl.grantee from pg_class, aclexplode(relacl) as acl where oid = t."table" and acl.grantee <> t.owner
        union
        select acl.grantee from pg_attribute, aclexplode(attacl) as acl
        where attrelid = t."table" and acl.grantee <> t.owner
        union
        select unnest(polroles) from pg_policy where polrelid = t."table"
        union
        select to_regrole('app_api')
        union
        select t.owner where not (t.rls_enabled and t.rls_forced)
    ) as named (role)
    join pg_roles as s on s.oid = named.role
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
    select g.*, p.policies, p.is_permitted, p.whose,
        concat_ws(' and ', format(p.pattern, p.old_or), p.old_and) as old_row,
        concat_ws(' and ', format(p.pattern, p.new_or), p.new_and) as new_row
    from granted as g
    cross join lateral (
        select
            coalesce(array_agg(distinct policy order by policy), '{}') as policies,
            coalesce(bool_or(permissive), false) as is_permitted,
            -- The caller is a user. Of any other tenant there can be several, and a session acts for one of them.
            case
                when bool_and(compares_tenant) filter (where permissive) is not true then 'rows'
                when g.tenant_column in (select "column" from audit.contexts where setting = 'app.user_id')
                    then 'the caller''s own rows'
                else format('rows of the current %s', regexp_replace(g.tenant_column, '_id$', ''))
            end as whose,
            case when not bool_and(permissive) and count(distinct policy) filter (where permissive) > 1 then '(%s)'
                else '%s' end as pattern,
            string_agg(expression, ' or ' order by policy) filter (where permissive and is_old) as old_or,
            string_agg(expression, ' and ' order by policy) filter (where not permissive and is_old) as old_and,
            string_agg(expression, ' or ' order by policy) filter (where permissive and not is_old) as new_or,
            string_agg(expression, ' and ' order by policy) filter (where not permissive and not is_old) as new_and
        from audit.clauses as l
        cross join lateral (select l.clause = 'using' as is_old) as i
        where l."table" = g."table" and l.command in ('all', g.command) and (l.roles = '{0}' or l.roles && g.acts_as)
            and (g.command = 'update' or is_old = (g.command <> 'insert'))
    ) as p
)
select
    "table",
    command,
    role::regrole,
    format('%s may %s', role::regrole, case
        when not on_table and columns is null then format('not %s: it was not granted', command)
        else format('%s%s ', command, case when not on_table then format(' (only %s)', columns) end) || case
            when bypasses then 'every row: it bypasses row-level security'
            when not rls_enabled then 'every row: row-level security is disabled'
            when not is_permitted then 'no row: no policy permits it'
            when command = 'insert' then format('%s: %s', whose, new_row)
            when command = 'update' then format('%s: before %s, after %s', whose, old_row, new_row)
            else format('%s: %s', whose, old_row)
        end
    end) as rule,
    policies,
    (select string_agg(case when cardinality(policies) > 1 then polname || ': ' else '' end
            || obj_description(oid, 'pg_policy'), e'\n' order by polname)
        from pg_policy where polrelid = "table" and polname = any (policies)) as comment
from ruled
order by "table"::text, role::regrole::text, place;

comment on view audit.policies is
    'Who may do what to which rows, in words: one line per table, command and role.';
comment on column audit.policies.rule is 'What the grants and the policies together let the role do.';
comment on column audit.policies.policies is 'The policies that apply to this role and command.';
comment on column audit.policies.comment is 'Why: the comments of these policies.';
