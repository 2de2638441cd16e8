-- The row is looked up with the caller's own rights: a superuser's, or app_owner's, for whom a policy of the table
-- opens while this function runs. The clauses are somebody's code, and run in a function that is app_owner's: there not
-- even SET ROLE leads back to a superuser.
create or replace function audit.holds(clause text, target regclass, of_row anyelement) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    holds boolean;
begin
    execute format('select %s from (select ($1).*) as %I',
            clause, (select relname from pg_catalog.pg_class where oid = target))
        into holds using of_row;
    return coalesce(holds, false);
end
$$;

comment on function audit.holds(text, regclass, anyelement) is
    'Whether a clause of a policy holds for a row, as app_owner. For audit.explain_access() alone.';

-- What is set here is set back at the end, or by the rollback of an error.
create or replace function audit.explain_access(for_user text, target regclass, row_id uuid)
returns table (step text, holds boolean, expression text)
language plpgsql volatile
set search_path = ''
as $$
declare
    found record;
    clause record;
    user_before text := coalesce(current_setting('app.user_id', true), '');
    explaining_before text := coalesce(current_setting('audit.explaining', true), '');
    is_bound boolean;
    let_in boolean := false;
    kept_out boolean := false;
begin
    if not exists (select from pg_catalog.pg_class where oid = target and relkind in ('r', 'p'))
        or (select count(*) from pg_catalog.pg_attribute
            where attrelid = target and not attisdropped
                and (attname = 'user_id' or attname = 'id' and atttypid = 'uuid'::regtype)) < 2
    then
        raise exception '% is not a tenant table: it lacks a column user_id, or id of type uuid', target;
    end if;
    if row_security_active(target) and not exists (
        select from audit.clauses as c
        where c."table" = target and c.permissive and c.clause = 'using' and c.command in ('all', 'select')
            and to_regrole('app_owner') = any (c.roles) and not c.reads_row and not c.never_holds
    ) then
        raise exception 'app_owner cannot look up a row of %: row-level security binds it', target
            using hint = 'Ask as a superuser, or give the table a policy for app_owner: docs/dba.md has it.';
    end if;

    perform set_config('audit.explaining', 'on', true);
    execute format('select t as row from %s as t where t.id = $1 order by format(%L, t.user_id) = $2 desc limit 1',
            target, '%s')
        into found using row_id, for_user;
    perform set_config('audit.explaining', explaining_before, true);
    perform set_config('app.user_id', for_user, true);

    step := 'the row exists';
    holds := found.row is distinct from null;
    return next;

    step := 'app_api was granted select';
    holds := has_any_column_privilege(to_regrole('app_api'), target, 'select');
    kept_out := kept_out or not holds;
    return next;

    select relrowsecurity and not exists (
            select from pg_catalog.pg_roles where rolname = 'app_api' and (rolsuper or rolbypassrls))
        into is_bound from pg_catalog.pg_class where oid = target;
    step := 'row-level security binds app_api';
    holds := is_bound;
    return next;

    for clause in
        select c.* from audit.clauses as c
        where c."table" = target and c.binds_api and not c.implied
        order by c.permissive desc, c.policy, c.clause
    loop
        step := format('%s policy %I for %s: %s',
            case when clause.permissive then 'permissive' else 'restrictive' end,
            clause.policy, clause.command, clause.clause);
        expression := clause.expression;
        holds := null;
        if found.row is distinct from null then
            execute 'select audit.holds($1, $2, $3)' into holds using clause.expression, target, found.row;
        end if;
        return next;
        if clause.clause = 'using' and clause.command in ('all', 'select') then
            let_in := let_in or clause.permissive and holds;
            kept_out := kept_out or not clause.permissive and not holds;
        end if;
    end loop;

    step := format('%s sees the row', coalesce(quote_ident(for_user), 'nobody'));
    holds := found.row is distinct from null and not kept_out and (let_in or not is_bound);
    expression := null;
    return next;
    perform set_config('app.user_id', user_before, true);
end
$$;

comment on function audit.explain_access(text, regclass, uuid) is
    'Why a user sees a row or does not: whether the row exists, whether app_api was granted select, and each clause of
each policy, true or false for that user and that row. Shows no column of the row. For superusers and members of
app_owner.';

revoke execute on function audit.explain_access(text, regclass, uuid), audit.holds(text, regclass, anyelement)
from public;
