-- explain_access() finds the row with the rights of whoever calls it: a superuser, or app_owner, to whom a policy of the
-- table shows rows while the function runs. The expressions of policies can contain anybody's functions. They are
-- evaluated in a SECURITY DEFINER function of app_owner, where not even SET ROLE leads back to a superuser.
-- The row is text, which is turned into a row here: PL/pgSQL keeps the type of what it has once been given for the rest
-- of the session, in which one may ask about another table. It is written by format(), which calls nobody's cast.
create or replace function audit.holds(clause text, target regclass, of_row text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    holds boolean;
begin
    execute format('select %s from (select ($1::%s).*) as %I',
            clause, target, (select relname from pg_catalog.pg_class where oid = target))
        into holds using of_row;
    return coalesce(holds, false);
end
$$;

comment on function audit.holds(text, regclass, text) is
    'Whether an expression of a policy is true for a row, evaluated as app_owner. Only for audit.explain_access().';

-- It restores the settings that it changes: at the end, or by the rollback that follows an error.
create or replace function audit.explain_access(for_user text, target regclass, row_id uuid)
returns table (step text, holds boolean, expression text)
language plpgsql volatile
set search_path = ''
as $$
declare
    row_found text;
    tenant_found text;
    clause record;
    tenant record;
    who text := coalesce(quote_ident(for_user), 'a session without a caller');
    user_before text := coalesce(current_setting('app.user_id', true), '');
    tenant_before text;
    explaining_before text := coalesce(current_setting('audit.explaining', true), '');
    rls_applies boolean;
    permitted boolean := false;
    denied boolean := false;
begin
    select c."column", c.setting, c.signature, c.arguments, c.has_argument,
            regexp_replace(c."column", '_id$', '') as what
        into tenant
    from audit.tenant_columns as c
    join pg_catalog.pg_class as t on t.oid = c.relation and t.relkind in ('r', 'p')
    join pg_catalog.pg_attribute as id on id.attrelid = t.oid and id.attname = 'id' and id.atttypid = 'uuid'::regtype
    where t.oid = target;
    if not found then
        raise exception '% is not a tenant table: it lacks a column %, or id of type uuid', target,
            (select string_agg("column", ' or ' order by place) from audit.contexts);
    end if;
    if row_security_active(target) and not exists (
        select from audit.clauses as c
        where c."table" = target and c.permissive and c.clause = 'using' and c.command in ('all', 'select')
            and to_regrole('app_owner') = any (c.roles) and not c.reads_row and not c.never_holds
    ) then
        raise exception 'app_owner cannot read a row of %: row-level security applies to it', target
            using hint = 'Ask as a superuser, or create a policy for app_owner on the table, as docs/dba.md describes.';
    end if;

    perform set_config('audit.explaining', 'on', true);
    execute format('select format(%L, t.*), format(%1$L, t.%I) from %s as t where t.id = $1 '
            'order by format(%1$L, t.%2$I) = $2 desc limit 1', '%s', tenant."column", target)
        into row_found, tenant_found using row_id, for_user;
    perform set_config('audit.explaining', explaining_before, true);
    -- The user whom is asked about acts for the tenant of the row, unless the tenant is a user.
    tenant_before := coalesce(current_setting(tenant.setting, true), '');
    perform set_config(tenant.setting, coalesce(tenant_found, ''), true);
    perform set_config('app.user_id', for_user, true);

    step := 'the row exists';
    holds := row_found is not null;
    return next;

    step := 'app_api was granted select';
    holds := has_any_column_privilege(to_regrole('app_api'), target, 'select');
    denied := denied or not holds;
    return next;

    select relrowsecurity and not exists (
            select from pg_catalog.pg_roles where rolname = 'app_api' and (rolsuper or rolbypassrls))
        into rls_applies from pg_catalog.pg_class where oid = target;
    step := 'row-level security applies to app_api';
    holds := rls_applies;
    return next;

    if tenant.has_argument then
        select asked.role, asked.call into step, expression
            from (
                select role, format('%s(%L)', split_part(tenant.signature, '(', 1), role) as call
                from unnest(tenant.arguments) with ordinality as asked (role, place)
                order by place desc
            ) as asked
            where row_found is not null
                and audit.holds(format('%I::text = %s::text', tenant."column", asked.call), target, row_found)
            limit 1;
        holds := found;
        step := coalesce(step, 'none');
        if row_found is null then
            step := 'unknown';
            holds := null;
        end if;
        step := format('role of %s in the %s of the row: %s', who, tenant.what, step);
        return next;
        expression := null;
    end if;

    for clause in
        select c.* from audit.clauses as c
        where c."table" = target and c.applies_to_api and not c.implied
        order by c.permissive desc, c.policy, c.clause
    loop
        step := format('%s policy %I for %s: %s',
            case when clause.permissive then 'permissive' else 'restrictive' end,
            clause.policy, clause.command, clause.clause);
        expression := clause.expression;
        holds := null;
        if row_found is not null then
            holds := audit.holds(clause.expression, target, row_found);
        end if;
        return next;
        if clause.clause = 'using' and clause.command in ('all', 'select') then
            permitted := permitted or clause.permissive and holds;
            denied := denied or not clause.permissive and not holds;
        end if;
    end loop;

    step := format('%s sees the row', who);
    holds := row_found is not null and not denied and (permitted or not rls_applies);
    expression := null;
    return next;
    perform set_config(tenant.setting, tenant_before, true);
    perform set_config('app.user_id', user_before, true);
end
$$;

comment on function audit.explain_access(text, regclass, uuid) is
    'Why a user sees a row or does not: whether the row exists, whether app_api was granted select, which role the user has
where rows belong to what people share, and whether USING and WITH CHECK of each policy are true for that user, who acts
for the row''s tenant, and that row. It shows no column of the row. Only superusers and members of app_owner may execute
it.';

revoke execute on function audit.explain_access(text, regclass, uuid), audit.holds(text, regclass, text)
from public;
