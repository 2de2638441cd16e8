"""Whether the audit works: changes that could be made to any tenant table, each of which must be reported."""

import pytest

from tests.support.mutations import (
    CHECKING,
    KEYS,
    OF_ONE_TENANT,
    OF_TENANT_AND_USER,
    ONCE,
    POLICIES,
    PRIMARY_KEYS,
    PROTECTED,
    REFERENCES,
    TABLES,
    TEXTS,
    UPDATING,
    USING,
    WITH_INSERT,
    Change,
    Healthy,
)
from tests.support.twins import SURFACE

OWN = "user_id = app.current_user_id()"


def using(clause: str) -> str:
    return f"alter policy {{policy}} on {{table}} using ({clause})"


def checking(clause: str) -> str:
    return f"alter policy {{policy}} on {{table}} with check ({clause})"


def context(body: str, options: str = "stable parallel safe") -> str:
    return f"create or replace function app.current_user_id() returns text language sql {options} return {body}"


CONTEXT = "nullif(current_setting('app.user_id', true), '')"
DEFINER = (
    "create function scratch.leak() returns setof text language sql stable security definer {} as 'select 1::text'"
)

CHANGES = {
    # ---- the table
    "row-level security off": Change(
        "alter table {table} disable row level security", TABLES, "rls_disabled", proved=True
    ),
    "not forced": Change("alter table {table} no force row level security", TABLES, "rls_not_forced"),
    "owned by the API": Change("alter table {table} owner to app_api", TABLES, "role_owns"),
    "no tenant column": Change(
        "alter table {table} rename {tenant} to owner_id", OF_ONE_TENANT, "tenant_column_missing", proved=True
    ),
    "no tenant but who added it": Change(
        "alter table {table} rename {tenant} to owner_id", OF_TENANT_AND_USER, "policy_without_tenant"
    ),
    "an inherited child": Change(
        "create table scratch.child () inherits ({table}); grant select on scratch.child to app_api",
        TABLES,
        "child_table_without_rls",
    ),
    "a table without anything": Change(
        "create table scratch.bare (id uuid); grant select on scratch.bare to app_api",
        ONCE,
        "rls_disabled",
        proved=True,
    ),
    "no default for the tenant": Change(
        "alter table {table} alter {tenant} drop default",
        WITH_INSERT,
        "tenant_column_without_default",
        proved=True,
    ),
    # ---- its policies
    "no policy": Change("drop policy {policy} on {table}", POLICIES, "policy_missing", proved=True),
    "using (true)": Change(using("true"), USING, "policy_always_true", proved=True),
    "using a constant": Change(using("{caller} is not null"), USING, "policy_always_true", proved=True, backed=True),
    "with check (true)": Change(checking("true"), CHECKING, "policy_always_true"),
    "without with check": Change(
        "drop policy {policy} on {table}; create policy p on {table} for {command} to app_api using ({own})",
        UPDATING,
        "policy_without_check",
    ),
    "or true": Change(using("{own} or {tenant} is not null"), USING, "policy_without_tenant", proved=True),
    "the other way round": Change(using("{tenant} <> {caller}"), USING, "policy_without_tenant", proved=True),
    "ordered, not equal": Change(
        using("{tenant} <= {caller}"), USING, "policy_without_tenant", proved=True, backed=True
    ),
    "null is anybody": Change(
        using("{tenant} = coalesce({caller}, {tenant})"), USING, "policy_without_tenant", proved=True
    ),
    "not distinct": Change(using("{tenant} is not distinct from {caller}"), USING, "policy_without_tenant"),
    "the setting itself": Change(
        using("{tenant} = current_setting('{setting}')::{type}"), USING, "policy_without_tenant"
    ),
    "a sub-select": Change(using("{tenant} = (select {caller})"), USING, "policy_with_subselect"),
    "a function per row": Change(using("{own} and lower({tenant}::text) <> ''"), USING, "policy_with_function_per_row"),
    "a check of another column": Change(
        checking("{another}::text = {caller}::text"), CHECKING, "policy_without_tenant"
    ),
    "for everybody": Change("alter policy {policy} on {table} to public", POLICIES, "policy_for_public"),
    "for somebody else": Change(
        "alter policy {policy} on {table} to app_auditor", POLICIES, "policy_missing", proved=True
    ),
    "a second policy": Change(
        "create policy wider on {table} for select to app_api using (true)",
        TABLES,
        "policy_multiple_permissive",
        proved=True,
    ),
    "a second policy by membership": Change(
        "create role crowd; grant crowd to app_api; create policy wider on {table} for select to crowd using (true)",
        TABLES,
        "policy_always_true",
        proved=True,
    ),
    "a second policy for delete": Change(
        "create policy wider on {table} for delete to app_api using (true)",
        TABLES,
        "policy_multiple_permissive",
        proved=True,
    ),
    "a second policy for update": Change(
        "grant update ({tenant}) on {table} to app_api;"
        " create policy wider on {table} for update to app_api using (true) with check ({own})",
        TABLES,
        "policy_always_true",
        proved=True,
    ),
    "a policy for a role that it can become": Change(
        "create role crowd; alter role app_api noinherit; grant crowd to app_api;"
        " grant usage on schema app, scratch to crowd; grant delete on {table} to crowd;"
        " create policy wider on {table} for delete to crowd using (true)",
        TABLES,
        "policy_always_true",
        proved=True,
    ),
    "a policy for another role": Change(
        "create policy wider on {table} for select to app_auditor using (true)", TABLES, "policy_for_other_role"
    ),
    # ---- its keys
    "no primary key": Change("alter table {table} drop constraint {key} cascade", PRIMARY_KEYS, "primary_key_missing"),
    "a tenant that may be null": Change(
        "alter table {table} drop constraint {key} cascade; alter table {table} alter {tenant} drop not null",
        PRIMARY_KEYS,
        "tenant_column_nullable",
    ),
    "a key without the tenant": Change(
        "alter table {table} drop constraint {key} cascade; alter table {table} add unique ({columns})",
        KEYS,
        "key_without_tenant",
    ),
    "a text unique for all": Change(
        "alter table {table} add unique ({column})", TEXTS, "key_without_tenant", proved=True
    ),
    "an exclusion without the tenant": Change(
        "alter table {table} add exclude using btree ({column} with =)",
        TEXTS,
        "key_without_tenant",
        proved=True,
    ),
    "an index without the tenant": Change(
        "create index on {table} ({column})", TEXTS, "index_without_tenant", surface=False
    ),
    "a reference without the tenant": Change(
        "alter table {parent} add unique ({parent_columns}); alter table {table} drop constraint {key};"
        " alter table {table} add foreign key ({columns}) references {parent} ({parent_columns})",
        REFERENCES,
        "foreign_key_without_tenant",
        proved=True,
    ),
    # ---- its grants
    "truncate": Change("grant truncate on {table} to app_api", TABLES, "grant_beyond_rls", proved=True),
    "truncate for everybody": Change("grant truncate on {table} to public", TABLES, "grant_beyond_rls", proved=True),
    "references": Change("grant references on {table} to app_api", TABLES, "grant_beyond_rls"),
    "references on a column": Change("grant references ({tenant}) on {table} to app_api", TABLES, "grant_beyond_rls"),
    "trigger": Change("grant trigger on {table} to app_api", TABLES, "grant_beyond_rls"),
    "grant option": Change("grant select on {table} to app_api with grant option", TABLES, "grant_beyond_rls"),
    "select for everybody": Change("grant select on {table} to public", TABLES, "grant_to_public"),
    "select for the auditor": Change(
        "grant select on {table} to app_auditor", TABLES, "auditor_reads_tenants", surface=False
    ),
    "insert of a protected column": Change(
        "grant insert ({column}) on {table} to app_api", PROTECTED, "grant_protected_column"
    ),
    "update of a protected column": Change(
        "grant update ({column}) on {table} to app_api", PROTECTED, "grant_protected_column"
    ),
    "insert and update of all columns": Change(
        "grant insert, update on {table} to app_api", TABLES, "grant_protected_column"
    ),
    "create in the schema": Change("grant create on schema app to app_api", ONCE, "grant_create"),
    "create for everybody": Change("grant create on schema public to public", ONCE, "grant_create"),
    "tables to come": Change(
        "alter default privileges for role app_owner in schema app grant select on tables to app_api",
        ONCE,
        "grant_default",
    ),
    "functions to come": Change(
        "alter default privileges for role app_owner grant execute on functions to public",
        ONCE,
        "grant_default",
        surface=False,
    ),
    # ---- views, functions, triggers, replication
    "a definer view": Change(
        "create view scratch.v as select * from {table}; grant select on scratch.v to app_api", TABLES, "view_definer"
    ),
    "a view of a view": Change(
        "create view public.v as select * from {table};"
        " create view scratch.w with (security_invoker) as table public.v;"
        " grant select on public.v, scratch.w to app_api",
        TABLES,
        "view_definer",
    ),
    "a materialized view": Change(
        "create materialized view scratch.m as select * from {table}; grant select on scratch.m to app_api",
        TABLES,
        "materialized_view",
    ),
    "a function of the superuser": Change(
        DEFINER.format("set search_path = ''"), ONCE, "definer_function_bypasses_rls"
    ),
    "a function that everybody may call": Change(
        f"{DEFINER.format('''set search_path = '' ''')}; grant execute on function scratch.leak() to public;"
        " alter function scratch.leak() owner to app_owner",
        ONCE,
        "definer_function_public",
    ),
    "a function with its caller's search_path": Change(DEFINER.format(""), ONCE, "definer_function_search_path"),
    "a leaky function": Change(
        "create function scratch.leaky(text) returns boolean language plpgsql leakproof as 'begin return true; end'",
        ONCE,
        "leakproof_function",
    ),
    "a trigger of the superuser": Change(
        "create function scratch.spy() returns trigger language plpgsql security definer set search_path = ''"
        " as 'begin return new; end'; create trigger spy before insert on {table} execute function scratch.spy()",
        TABLES,
        "trigger_as_owner",
    ),
    "a rule": Change("create rule r as on delete to {table} do instead nothing", TABLES, "rule_on_table"),
    "a publication": Change("create publication p for table {table}", TABLES, "publication"),
    "a publication of everything": Change("create publication p for all tables", ONCE, "publication"),
    # ---- who is calling
    "an immutable caller": Change(context(CONTEXT, "immutable"), ONCE, "context_function"),
    "a volatile caller": Change(context(CONTEXT, "volatile"), ONCE, "context_function"),
    "a caller that is always somebody": Change(
        context(f"coalesce({CONTEXT}, 'alice')"), ONCE, "context_function", proved=True
    ),
    "a caller of its own": Change(context("'alice'"), ONCE, "context_function", proved=True),
    "a caller that cannot be inlined": Change(
        "alter function app.current_user_id() set search_path = ''", ONCE, "context_function"
    ),
    # ---- roles
    "superuser": Change("alter role app_api superuser", ONCE, "role_attribute", proved=True),
    "bypassrls": Change("alter role app_api bypassrls", ONCE, "role_attribute", proved=True),
    "createrole": Change("alter role app_api createrole", ONCE, "role_attribute"),
    "createdb": Change("alter role app_api createdb", ONCE, "role_attribute"),
    "replication": Change("alter role app_api replication", ONCE, "role_attribute"),
    "an owner that bypasses policies": Change("alter role app_owner bypassrls", ONCE, "role_attribute", surface=False),
    "an owner that logs in": Change("alter role app_owner login", ONCE, "role_login", surface=False),
    "a member of the owner": Change("grant app_owner to app_api", ONCE, "role_membership"),
    "a member of the owner through others": Change(
        "create role a; create role b noinherit; grant app_owner to a; grant a to b; grant b to app_api",
        ONCE,
        "role_membership",
    ),
    "a member of a role that bypasses policies": Change(
        "create role b bypassrls; grant b to app_api", ONCE, "role_membership"
    ),
    "a member of a predefined role": Change("grant pg_write_server_files to app_api", ONCE, "role_membership"),
    "an auditor that becomes the API": Change(
        "grant app_api to app_auditor", ONCE, "auditor_reads_tenants", surface=False
    ),
    "no API role": Change("alter role app_api rename to app_api_old", ONCE, "role_missing"),
    "a caller set on the role": Change("alter role app_api set app.user_id = 'alice'", ONCE, "setting_on_role"),
    "a caller set on all roles": Change("alter role all set app.user_id = 'alice'", ONCE, "setting_on_role"),
    "another role set on the role": Change("alter role app_api set role = 'app_auditor'", ONCE, "setting_on_role"),
    "row security off on the role": Change("alter role app_api set row_security = off", ONCE, "setting_on_role"),
}

HEALTHY = {
    "as it is": "select",
    "one policy per command": f"""
        drop policy tasks_belong_to_their_user on app.tasks;
        create policy s on app.tasks for select to app_api using ({OWN});
        create policy i on app.tasks for insert to app_api with check ({OWN});
        create policy u on app.tasks for update to app_api using ({OWN}) with check ({OWN});
        create policy d on app.tasks for delete to app_api using ({OWN})""",
    "sides exchanged": "alter policy tasks_belong_to_their_user on app.tasks using (app.current_user_id() = user_id)",
    "a narrower policy": f"alter policy tasks_belong_to_their_user on app.tasks using ({OWN} and not completed)",
    "a restrictive policy": "create policy r on app.tasks as restrictive to app_api using (true) with check (true)",
    "an invoker view": """
        create view scratch.open_tasks with (security_invoker = true) as select * from app.tasks where not completed;
        grant select on scratch.open_tasks to app_api""",
    "a partition with its own row-level security": f"""
        create table scratch.events (user_id text not null, id uuid not null, primary key (user_id, id))
            partition by hash (user_id);
        create table scratch.events_0 partition of scratch.events for values with (modulus 1, remainder 0);
        alter table scratch.events enable row level security, force row level security;
        alter table scratch.events_0 enable row level security, force row level security;
        create policy own on scratch.events to app_api using ({OWN}) with check ({OWN});
        alter table scratch.events alter user_id set default app.current_user_id();
        grant select, delete, insert (id) on scratch.events to app_api;
        alter table scratch.events alter id set default gen_random_uuid();
        revoke insert (id) on scratch.events from app_api;
        alter table scratch.events add note text;
        grant insert (note), update (note) on scratch.events to app_api""",
    "a harmless group": "create role readers; grant readers to app_api",
    "a function of the owner": f"""
        {DEFINER.format("set search_path = ''")};
        alter function scratch.leak() owner to app_owner;
        revoke execute on function scratch.leak() from public;
        grant execute on function scratch.leak() to app_api""",
    "a schema of others": """
        create schema billing; create table billing.invoices (id bigint primary key, total numeric);
        create view billing.tasks as select * from app.tasks""",
    "a temporary table": "create temporary table mine as select 1 as id; grant select on mine to app_api",
    "limits on the role": "alter role app_api set statement_timeout = '5s'",
    "a publication of something else": "create schema other; create table other.t (id int);"
    " create publication p for table other.t",
    "columns that accept certain values only": f"""
        create table scratch.letters (
            user_id text not null default app.current_user_id(), id uuid default gen_random_uuid(),
            kind text not null check (kind in ('it''s a draft', 'done')),
            rating int not null check (rating between 3 and 5),
            title text not null check (char_length(title) between 1 and 200),
            primary key (user_id, id));
        alter table scratch.letters enable row level security, force row level security;
        create policy own on scratch.letters to app_api using ({OWN}) with check ({OWN});
        grant select, delete, insert (kind, rating, title), update (kind) on scratch.letters to app_api""",
    "a tenant that is a uuid": """
        create table scratch.letters (
            user_id uuid not null default app.current_user_id()::uuid, id uuid default gen_random_uuid(), body text,
            primary key (user_id, id));
        alter table scratch.letters enable row level security, force row level security;
        create policy own on scratch.letters to app_api using (user_id = app.current_user_id()::uuid)
            with check (user_id = app.current_user_id()::uuid);
        grant select, delete, insert (body), update (body) on scratch.letters to app_api""",
}


@pytest.mark.parametrize("name", CHANGES)
def test_no_change_goes_unreported(name: str, mutable: Healthy) -> None:
    assert mutable.unreported(CHANGES[name]) == []


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_variation_is_not_reported(name: str, mutable: Healthy) -> None:
    async def examine() -> None:
        await mutable.connection.execute(HEALTHY[name])
        assert [each for each in await mutable.reported() if each.name not in SURFACE] == []
        assert await mutable.proved_wrong() == set()

    mutable.examine(examine)


def test_every_tenant_table_takes_part(mutable: Healthy) -> None:
    async def examine() -> None:
        async def tables(query: str) -> set[str]:
            return {row["table"] for row in await mutable.connection.fetch(query)}

        known = await tables(TABLES)
        notes = {'scratch."Meeting notes"', 'scratch."Team ""notes"'}
        assert known >= {
            "app.tasks",
            "app.idempotency_keys",
            "app.workspaces",
            "app.members",
            "app.invitations",
            *notes,
        }
        for query in (PRIMARY_KEYS, PROTECTED, POLICIES, USING):
            assert await tables(query) == known
        for query in (TEXTS, REFERENCES, KEYS, CHECKING, UPDATING, WITH_INSERT):
            assert await tables(query) >= notes

    mutable.examine(examine)
