"""Whether the proof works: single changes to a healthy database, each of which must be noticed.

Each change is a template. It is filled from the catalog with every table, policy, column or key that is there, so a
new table joins in by itself; a second one, with an awkward name and a foreign key, is put there to show it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import asyncpg
import pytest

from db.audit import Finding, find
from db.audit.prove import prove
from tests.support.database import Url

SECOND_TABLE = """
create table app."Meeting notes" (
    id uuid not null default gen_random_uuid(),
    user_id text not null default app.current_user_id(),
    task_id uuid not null,
    "Said by" text not null,
    due_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (user_id, id),
    unique (user_id, "Said by"),
    foreign key (user_id, task_id) references app.tasks (user_id, id) on delete cascade
);
alter table app."Meeting notes" owner to app_owner;
create index on app."Meeting notes" (user_id, task_id);
alter table app."Meeting notes" enable row level security, force row level security;
create policy "notes: one's own" on app."Meeting notes" to app_api
using (user_id = app.current_user_id()) with check (user_id = app.current_user_id());
grant select, delete, insert (task_id, "Said by", due_at), update ("Said by", due_at) on app."Meeting notes" to app_api;
"""

# What the templates are filled with. Each yields rows whose columns are the template's fields.
ONCE = "select 1 as once"
TABLES = 'select audit.name("table") as "table" from audit.tables'
COLUMNS = """
select audit.name("table") as "table", quote_ident(attname) as "column"
from audit.tables join pg_attribute on attrelid = "table" and attnum > 0 and not attisdropped
"""
TEXTS = f"{COLUMNS} where atttypid = 'text'::regtype and attname <> 'user_id'"
PROTECTED = f"{COLUMNS} where attname = any ('{{id,user_id,created_at,updated_at,completed_at}}')"
POLICIES = """
select distinct audit.name("table") as "table", quote_ident(policy) as policy from audit.clauses where binds_api
"""
KEYS = """
select audit.name("table") as "table", quote_ident(conname) as key, string_agg(quote_ident(attname), ', ') as columns
from audit.tables join pg_constraint on conrelid = "table" and contype in ('p', 'u')
join pg_attribute on attrelid = conrelid and attnum = any (conkey) and attname <> 'user_id'
group by 1, 2
"""
REFERENCES = """
select audit.name(f.conrelid) as "table", quote_ident(f.conname) as key, audit.name(f.confrelid) as parent
from pg_constraint as f join audit.tables as t on t."table" = f.conrelid where f.contype = 'f'
"""

OWN = "user_id = app.current_user_id()"


class Change(NamedTuple):
    """A change, what it is made to, and the check that must name it (`prove`: tried and found)."""

    template: str
    to: str
    noticed_by: str
    tried: bool = False
    """Whether --prove must go red by itself, without the catalogs' help."""


def using(clause: str) -> str:
    return f"alter policy {{policy}} on {{table}} using ({clause})"


def checking(clause: str) -> str:
    return f"alter policy {{policy}} on {{table}} with check ({clause})"


def context(body: str, options: str = "stable") -> str:
    return f"create or replace function app.current_user_id() returns text language sql {options} return {body}"


CONTEXT = "nullif(current_setting('app.user_id', true), '')"
DEFINER = "create function app.leak() returns setof text language sql stable security definer {} as 'select 1::text'"

CHANGES = {
    # ---- the table
    "row-level security off": Change(
        "alter table {table} disable row level security", TABLES, "rls_disabled", tried=True
    ),
    "not forced": Change("alter table {table} no force row level security", TABLES, "rls_not_forced"),
    "owned by the API": Change("alter table {table} owner to app_api", TABLES, "role_owns"),
    "no tenant column": Change(
        "alter table {table} rename user_id to owner_id", TABLES, "tenant_column_missing", tried=True
    ),
    "an inherited child": Change("create table app.child () inherits ({table})", TABLES, "child_without_walls"),
    "a table without anything": Change(
        "create table app.bare (id uuid); grant select on app.bare to app_api", ONCE, "rls_disabled", tried=True
    ),
    # ---- its policies
    "no policy": Change("drop policy {policy} on {table}", POLICIES, "policy_missing", tried=True),
    "using (true)": Change(using("true"), POLICIES, "policy_always_true", tried=True),
    "using a constant": Change(using("app.current_user_id() is not null"), POLICIES, "policy_always_true", tried=True),
    "with check (true)": Change(checking("true"), POLICIES, "policy_always_true"),
    "without with check": Change(
        f"drop policy {{policy}} on {{table}}; create policy p on {{table}} to app_api using ({OWN})",
        POLICIES,
        "policy_without_check",
    ),
    "or true": Change(using(f"{OWN} or user_id <> ''"), POLICIES, "policy_without_tenant", tried=True),
    "the other way round": Change(
        using("user_id <> app.current_user_id()"), POLICIES, "policy_without_tenant", tried=True
    ),
    "ordered, not equal": Change(
        using("user_id <= app.current_user_id()"), POLICIES, "policy_without_tenant", tried=True
    ),
    "null is anybody": Change(
        using("user_id = coalesce(app.current_user_id(), user_id)"), POLICIES, "policy_without_tenant", tried=True
    ),
    "not distinct": Change(
        using("user_id is not distinct from app.current_user_id()"), POLICIES, "policy_without_tenant"
    ),
    "the setting itself": Change(using("user_id = current_setting('app.user_id')"), POLICIES, "policy_without_tenant"),
    "a sub-select": Change(using("user_id = (select app.current_user_id())"), POLICIES, "policy_with_subselect"),
    "a function per row": Change(using(f"{OWN} and lower(user_id) <> ''"), POLICIES, "policy_with_row_function"),
    "a check of another column": Change(
        checking("created_at::text = app.current_user_id()"), POLICIES, "policy_without_tenant"
    ),
    "for everybody": Change("alter policy {policy} on {table} to public", POLICIES, "policy_for_public"),
    "for somebody else": Change(
        "alter policy {policy} on {table} to app_auditor", POLICIES, "policy_missing", tried=True
    ),
    "a second policy": Change(
        "create policy wider on {table} for select to app_api using (true)", TABLES, "policy_widens", tried=True
    ),
    "a second policy by membership": Change(
        "create role crowd; grant crowd to app_api; create policy wider on {table} for select to crowd using (true)",
        TABLES,
        "policy_always_true",
        tried=True,
    ),
    "a policy for another role": Change(
        "create policy wider on {table} for select to app_auditor using (true)", TABLES, "policy_for_other_role"
    ),
    # ---- its keys
    "a tenant that may be null": Change(
        "alter table {table} drop constraint {key} cascade; alter table {table} alter user_id drop not null",
        f"{KEYS} having min(contype) = 'p'",
        "tenant_column_nullable",
    ),
    "a key without the tenant": Change(
        "alter table {table} drop constraint {key} cascade; alter table {table} add unique ({columns})",
        KEYS,
        "key_without_tenant",
    ),
    "a text unique for all": Change(
        "alter table {table} add unique ({column})", TEXTS, "key_without_tenant", tried=True
    ),
    "an exclusion without the tenant": Change(
        "alter table {table} add exclude using btree ({column} with =)", TEXTS, "key_without_tenant", tried=True
    ),
    "an index without the tenant": Change("create index on {table} ({column})", TEXTS, "index_without_tenant"),
    "a reference without the tenant": Change(
        "alter table {parent} add unique (id); alter table {table} drop constraint {key};"
        " alter table {table} add foreign key (task_id) references {parent} (id)",
        REFERENCES,
        "foreign_key_without_tenant",
        tried=True,
    ),
    # ---- its grants
    "truncate": Change("grant truncate on {table} to app_api", TABLES, "grant_beyond_rls", tried=True),
    "truncate for everybody": Change("grant truncate on {table} to public", TABLES, "grant_beyond_rls", tried=True),
    "references": Change("grant references on {table} to app_api", TABLES, "grant_beyond_rls"),
    "references on a column": Change("grant references (user_id) on {table} to app_api", TABLES, "grant_beyond_rls"),
    "trigger": Change("grant trigger on {table} to app_api", TABLES, "grant_beyond_rls"),
    "the right to hand on": Change("grant select on {table} to app_api with grant option", TABLES, "grant_beyond_rls"),
    "select for everybody": Change("grant select on {table} to public", TABLES, "grant_to_public"),
    "select for the auditor": Change("grant select on {table} to app_auditor", TABLES, "auditor_reads_tenants"),
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
        "alter default privileges for role app_owner grant execute on functions to public", ONCE, "grant_default"
    ),
    # ---- other doors
    "a definer view": Change(
        "create view app.v as select * from {table}; grant select on app.v to app_api", TABLES, "view_definer"
    ),
    "a view of a view": Change(
        "create view public.v as select * from {table}; create view app.w with (security_invoker) as table public.v;"
        " grant select on public.v, app.w to app_api",
        TABLES,
        "view_definer",
    ),
    "a materialized view": Change(
        "create materialized view app.m as select * from {table}; grant select on app.m to app_api",
        TABLES,
        "materialized_view",
    ),
    "a function of the superuser": Change(DEFINER.format("set search_path = ''"), ONCE, "definer_function_bypasses"),
    "a function that everybody may call": Change(
        f"{DEFINER.format('''set search_path = '' ''')}; grant execute on function app.leak() to public;"
        " alter function app.leak() owner to app_owner",
        ONCE,
        "definer_function_public",
    ),
    "a function that its caller misleads": Change(DEFINER.format(""), ONCE, "definer_function_search_path"),
    "a leaky function": Change(
        "create function app.leaky(text) returns boolean language plpgsql leakproof as 'begin return true; end'",
        ONCE,
        "leakproof_function",
    ),
    "a trigger of the superuser": Change(
        "create function app.spy() returns trigger language plpgsql security definer set search_path = ''"
        " as 'begin return new; end'; create trigger spy before insert on {table} execute function app.spy()",
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
        context(f"coalesce({CONTEXT}, 'alice')"), ONCE, "context_function", tried=True
    ),
    "a caller of its own": Change(context("'alice'"), ONCE, "context_function", tried=True),
    "a caller that cannot be inlined": Change(
        "alter function app.current_user_id() set search_path = ''", ONCE, "context_function"
    ),
    # ---- roles
    "superuser": Change("alter role app_api superuser", ONCE, "role_power", tried=True),
    "bypassrls": Change("alter role app_api bypassrls", ONCE, "role_power", tried=True),
    "createrole": Change("alter role app_api createrole", ONCE, "role_power"),
    "createdb": Change("alter role app_api createdb", ONCE, "role_power"),
    "replication": Change("alter role app_api replication", ONCE, "role_power"),
    "an owner that passes policies": Change("alter role app_owner bypassrls", ONCE, "role_power"),
    "an owner that logs in": Change("alter role app_owner login", ONCE, "role_login"),
    "a member of the owner": Change("grant app_owner to app_api", ONCE, "role_membership"),
    "a member of the owner through others": Change(
        "create role a; create role b noinherit; grant app_owner to a; grant a to b; grant b to app_api",
        ONCE,
        "role_membership",
    ),
    "a member of a powerful role": Change("create role b bypassrls; grant b to app_api", ONCE, "role_membership"),
    "a member of a predefined role": Change("grant pg_write_server_files to app_api", ONCE, "role_membership"),
    "an auditor that becomes the API": Change("grant app_api to app_auditor", ONCE, "auditor_reads_tenants"),
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
        create view app.open_tasks with (security_invoker = true) as select * from app.tasks where not completed;
        grant select on app.open_tasks to app_api""",
    "a walled partition": f"""
        create table app.events (user_id text not null, id uuid not null, primary key (user_id, id))
            partition by hash (user_id);
        create table app.events_0 partition of app.events for values with (modulus 1, remainder 0);
        alter table app.events enable row level security, force row level security;
        alter table app.events_0 enable row level security, force row level security;
        create policy own on app.events to app_api using ({OWN}) with check ({OWN});
        alter table app.events alter user_id set default app.current_user_id();
        grant select, delete, insert (id) on app.events to app_api;
        alter table app.events alter id set default gen_random_uuid();
        revoke insert (id) on app.events from app_api;
        alter table app.events add note text;
        grant insert (note), update (note) on app.events to app_api""",
    "a harmless group": "create role readers; grant readers to app_api",
    "a function of the owner": f"""
        {DEFINER.format("set search_path = ''")};
        alter function app.leak() owner to app_owner;
        revoke execute on function app.leak() from public;
        grant execute on function app.leak() to app_api""",
    "a schema of others": """
        create schema billing; create table billing.invoices (id bigint primary key, total numeric);
        create view billing.tasks as select * from app.tasks""",
    "a temporary table": "create temporary table scratch as select 1 as id; grant select on scratch to app_api",
    "limits on the role": "alter role app_api set statement_timeout = '5s'",
    "a publication of something else": "create schema other; create table other.t (id int);"
    " create publication p for table other.t",
    "a tenant that is a uuid": """
        create table app.notes (
            user_id uuid not null default app.current_user_id()::uuid, id uuid default gen_random_uuid(), body text,
            primary key (user_id, id));
        alter table app.notes enable row level security, force row level security;
        create policy own on app.notes to app_api using (user_id = app.current_user_id()::uuid)
            with check (user_id = app.current_user_id()::uuid);
        grant select, delete, insert (body), update (body) on app.notes to app_api""",
}

Look = Callable[[asyncpg.Connection], Awaitable[None]]


def on_a_healthy_database(url: Url, look: Look) -> None:
    """Run `look` as the superuser, in a transaction that is rolled back, after adding the second table."""

    async def run() -> None:
        connection = await asyncpg.connect(url("postgres"), statement_cache_size=0)
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(SECOND_TABLE)
            await look(connection)
        finally:
            await transaction.rollback()
            await connection.close()

    asyncio.run(run())


async def tried(connection: asyncpg.Connection) -> list[Finding]:
    """Return what --prove finds. What it cannot even begin is found, too."""
    try:
        return (await prove(connection)).findings
    except asyncpg.PostgresError as error:
        return [Finding("prove", "error", "database", str(error), "", "prove:database")]


@pytest.mark.parametrize("name", CHANGES)
def test_no_change_survives(name: str, url: Url) -> None:
    change = CHANGES[name]
    survivors: list[str] = []

    async def look(connection: asyncpg.Connection) -> None:
        targets = await connection.fetch(change.to)
        assert targets
        for target in targets:
            mutation = change.template.format(**target)
            undo = connection.transaction()
            await undo.start()
            await connection.execute(mutation)
            named = {finding.name for finding in await find(connection)}
            if change.noticed_by not in named:
                survivors.append(f"{mutation}: named {named or 'nothing'}")
            if change.tried and not await tried(connection):
                survivors.append(f"{mutation}: --prove is content")
            await undo.rollback()

    on_a_healthy_database(url, look)
    assert survivors == []


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_variation_is_not_reported(name: str, url: Url) -> None:
    async def look(connection: asyncpg.Connection) -> None:
        await connection.execute(HEALTHY[name])
        assert await find(connection) == []
        assert (await prove(connection)).findings == []

    on_a_healthy_database(url, look)


def test_there_are_enough_changes_and_every_tenant_table_is_among_them(url: Url) -> None:
    assert len(CHANGES) >= 40
    assert len(HEALTHY) >= 10

    async def look(connection: asyncpg.Connection) -> None:
        tables = {row["table"] for row in await connection.fetch(TABLES)}
        assert tables == {"app.tasks", "app.idempotency_keys", 'app."Meeting notes"'}
        for targets in (POLICIES, KEYS, PROTECTED, TEXTS):
            assert {row["table"] for row in await connection.fetch(targets)} == tables

    on_a_healthy_database(url, look)
