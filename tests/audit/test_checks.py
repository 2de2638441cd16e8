"""Each check has a bad twin, which it names, and a good twin: the nearest change that is no hole, which nobody names.

Both are planted in a healthy database that has a second table, by a superuser, in a transaction that is rolled back:
roles belong to the whole server. What a bad twin's finding says to run is run, and the hole is gone.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor

from db import audit
from db.audit import CHECKS, Finding
from db.embedded import binary
from tests.support.database import url_of

DATABASE = "partywall_checks"
ERROR, WARNING = "error", "warning"
OWN = "user_id = app.current_user_id()"
NO_ICU = ("select from pg_collation where collname = 'en-x-icu'", "this server was built without ICU")
FROM_17 = ("select where current_setting('server_version_num')::int >= 170000", "MAINTAIN is new in PostgreSQL 17")


class Bad(NamedTuple):
    """A hole, and what its finding says."""

    plant: str
    object: str
    level: str = WARNING
    leaves: str = ""
    """The checks that speak up only after the hole was mended as the finding says."""
    also: str = ""
    """The other checks that have a finding."""
    times: int = 1
    """How many findings of its check there are."""
    needs: tuple[str, str] = ("select", "")
    """A query that has a row on a server where this can be planted, and what is missing elsewhere."""


class Good(NamedTuple):
    """No hole."""

    plant: str
    besides: str = ""
    """The checks that have a finding nevertheless: another one than the twin's."""
    needs: tuple[str, str] = ("select", "")


def walled(table: str, tenant: str = "text", caller: str = "app.current_user_id()", more: str = "") -> str:
    """Return the SQL that makes a healthy table of tenants."""
    return f"""
        create table {table} (
            user_id {tenant} not null default {caller},
            id uuid not null default gen_random_uuid(),
            body text not null,
            due_at timestamptz,
            created_at timestamptz not null default now(),
            primary key (user_id, id)
        ) {more};
        alter table {table} owner to app_owner;
        alter table {table} enable row level security, force row level security;
        create policy own on {table} to app_api using (user_id = {caller}) with check (user_id = {caller});
        grant select, delete, insert (body, due_at), update (body, due_at) on {table} to app_api;
    """


HEALTHY = f"{walled('app.notes')} create schema hidden"

# The same holes under names that must be quoted, and that look like what the checks read: keywords of SQL, pieces of
# parse trees, the separators of keys.
ODD = {
    "app.notes": '"My App"."Odd ""Table"" USING x ("',
    "app.by_body": '"My App"."by (""user_id"", ) USING"',
    "by_body": '"by (""user_id"", ) USING"',
    "body": r'"{SUBLINK :args <> \} ("',
    "due_at": '"is due, user_id"',
    "own": '"o.w:n (a) in {b} %s"',
    "readers": '"Odd in ""Readers"""',
    "app.v": '"My App"."select ""1"""',
    "app.f": '"My App"."f(text)"',
    "app.events": '"My App"."Odd of ""Events"""',
    "app.events_a": '"My App".events_a',
    "p": '"a of b"',
    "notes_pkey": '"Odd ""Table"" USING x (_pkey"',
}
ODD_SCHEMA = 'create schema "My App" authorization app_owner; grant usage on schema "My App" to app_api;'


def odd(text: str) -> str:
    """Return SQL, or the name of an object, with the odd names for the plain ones."""
    plain = sorted(ODD, key=len, reverse=True)
    return re.sub(rf"\b({'|'.join(map(re.escape, plain))})\b", lambda match: ODD[match[0]], text)


def policy(clause: str, kind: str = "using") -> str:
    return f"alter policy own on app.notes {kind} ({clause})"


def routine(name: str = "app.f()", owner: str = "app_owner", kind: str = "function", *, path: bool = True) -> str:
    """Return the SQL that makes a SECURITY DEFINER routine as it should be: nobody may execute it yet."""
    returns, body = ("", "begin atomic end") if kind == "procedure" else ("returns int", "return 1")
    return f"""
        create {kind} {name} {returns} language sql security definer {"set search_path = ''" if path else ""} {body};
        alter {kind} {name} owner to {owner};
        revoke execute on {kind} {name} from public;
    """


def context(body: str = "nullif(current_setting('app.user_id', true), '')", options: str = "stable") -> str:
    return f"create or replace function app.current_user_id() returns text language sql {options} return {body}"


LISTS = walled("app.lists")
EQUALS = """
    create function app.equals(text, text) returns boolean language sql immutable as 'select true';
    create operator public.= (leftarg = text, rightarg = text, function = app.equals);
"""
IGNORES_CASE = "create collation app.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
FOREIGN = """
    create foreign data wrapper w;
    create server elsewhere foreign data wrapper w;
    create foreign table app.far (user_id text, body text) server elsewhere;
"""
PARTITIONED = f"""
    {walled("app.events", more="partition by list (user_id)")}
    create table app.events_a partition of app.events for values in ('alice');
    alter table app.events_a owner to app_owner;
"""
WALLED_PARTITION = f"{PARTITIONED} alter table app.events_a enable row level security, force row level security;"
MATERIALIZED = "create materialized view app.v as select * from app.notes;"
TRIGGER = """
    create function app.f() returns trigger language plpgsql security definer set search_path = ''
        as 'begin return new; end';
    alter function app.f() owner to app_owner;
    revoke execute on function app.f() from public;
    create trigger t before insert on app.notes for each row execute function app.f();
"""

# fmt: off
# A twin is two or three lines.
BAD: dict[str, list[Bad]] = {
    "auditor_reads_tenants": [
        Bad("grant select on app.notes to app_auditor", "app.notes"),
        Bad("grant select (body) on app.notes to app_auditor", "app.notes"),
        Bad("grant readers to app_auditor; grant select on app.notes to readers", "readers"),
        Bad("create role middle in role readers; grant middle to app_auditor; grant select on app.notes to readers",
            "middle"),
        Bad("grant select on app.notes to public", "app.notes", also="grant_to_public"),
        Bad("grant app_owner to app_auditor", "app_owner"),
        Bad("grant readers to app_auditor; grant app_api to readers", "readers"),
        Bad("grant pg_read_all_data to app_auditor", "pg_read_all_data"),
        Bad("grant readers to app_auditor; alter role readers bypassrls", "readers"),
    ],
    "child_without_walls": [
        Bad("create table app.child () inherits (app.notes)", "app.child"),
        Bad("create table app.child () inherits (app.notes); grant select on app.child to app_api",
            "app.child", ERROR, leaves="policy_missing"),
        Bad(PARTITIONED, "app.events_a"),
        Bad(f"{PARTITIONED} grant select on app.events_a to public",
            "app.events_a", ERROR, leaves="policy_missing", also="auditor_reads_tenants grant_to_public"),
        Bad(f"{WALLED_PARTITION} alter table app.events_a no force row level security", "app.events_a"),
    ],
    "context_function": [
        Bad(context(options="immutable"), "app.current_user_id()", ERROR),
        Bad(context("'alice'"), "app.current_user_id()", ERROR),
        Bad(context("coalesce(nullif(current_setting('app.user_id', true), ''), 'alice')"),
            "app.current_user_id()", ERROR),
        Bad(context("current_setting('app.user_id', true)"), "app.current_user_id()", ERROR),
        Bad("alter function app.current_user_id() set \"APP\".user_id = 'alice'", "app.current_user_id()", ERROR),
        Bad("drop function app.current_user_id() cascade;"
            "create function app.current_user_id() returns uuid language sql stable return gen_random_uuid()",
            "app.current_user_id()", ERROR, also="policy_missing"),
        Bad("drop function app.current_user_id() cascade", "app.current_user_id()", also="policy_missing"),
        Bad("create function app.current_user_id(text) returns text language sql stable return $1;"
            "drop function app.current_user_id() cascade", "app.current_user_id()", also="policy_missing"),
        Bad("drop function app.current_user_id() cascade;" + context().replace("returns text", "returns varchar"),
            "app.current_user_id()", also="policy_missing"),
        Bad(context(options="volatile"), "app.current_user_id()"),
        Bad(context(options="strict stable"), "app.current_user_id()"),
        Bad("alter function app.current_user_id() set search_path = ''", "app.current_user_id()"),
        Bad("alter function app.current_user_id() security definer",
            "app.current_user_id()", also="definer_function_search_path"),
    ],
    "definer_function_bypasses": [
        Bad(routine(owner="postgres") + "grant execute on function app.f() to app_api", "app.f()", ERROR),
        Bad(routine(owner="postgres") + "grant execute on function app.f() to public",
            "app.f()", ERROR, also="definer_function_public"),
        Bad(routine("app.f(text, app.notes)", owner="postgres")
            + "grant readers to app_api; grant execute on function app.f to readers", "app.f(text,app.notes)", ERROR),
        Bad("alter role readers bypassrls; grant create on schema app to readers;"
            + routine(owner="readers")
            + "grant execute on function app.f() to app_api; revoke create on schema app from readers",
            "app.f()", ERROR),
        Bad(routine(owner="postgres", kind="procedure") + "grant execute on procedure app.f() to app_api",
            "app.f()", ERROR),
        Bad(routine("hidden.f()", owner="postgres") + "grant execute on function hidden.f() to app_api;"
            "grant create, usage on schema hidden to app_owner", "hidden.f()"),
    ],
    "definer_function_public": [
        Bad(routine() + "grant execute on function app.f() to public", "app.f()"),
        Bad(routine("app.f(text[])") + "grant execute on function app.f to public", "app.f(text[])"),
        Bad(routine(kind="procedure") + "grant execute on procedure app.f() to public", "app.f()"),
        Bad("create function hidden.f() returns int language sql security definer set search_path = '' return 1",
            "hidden.f()", also="definer_function_bypasses"),
    ],
    "definer_function_search_path": [
        Bad(routine(path=False), "app.f()"),
        Bad(routine(path=False) + "alter function app.f() set work_mem = '8MB'", "app.f()"),
        Bad(routine("app.f(int)", kind="procedure", path=False), "app.f(integer)"),
    ],
    "foreign_key_without_tenant": [
        Bad(f"""{LISTS}
            alter table app.lists add unique (id);
            alter table app.notes add list_id uuid, add constraint by_body foreign key (list_id)
                references app.lists (id) on delete set null on update cascade deferrable initially deferred""",
            "app.notes.by_body", also="key_without_tenant"),
        Bad(f"""{LISTS}
            alter table app.lists drop constraint lists_pkey, add primary key (id);
            alter table app.notes add list_id uuid,
                add constraint by_body foreign key (list_id) references app.lists""",
            "app.notes.by_body", also="key_without_tenant"),
        Bad(f"""{LISTS}
            alter table app.lists add unique (id, user_id);
            alter table app.notes add list_id uuid, add constraint by_body foreign key (list_id, user_id)
                references app.lists (id, user_id) match full""", "app.notes.by_body", also="key_without_tenant"),
        Bad(f"""{LISTS}
            alter table app.lists add unique (body, user_id);
            alter table app.notes add constraint by_body foreign key (user_id, body)
                references app.lists (body, user_id)""", "app.notes.by_body", also="key_without_tenant"),
        Bad("""
            alter table app.notes add unique (id);
            create table app.colours (id int primary key, note_id uuid references app.notes (id))""",
            "app.colours.colours_note_id_fkey", also="key_without_tenant rls_disabled tenant_column_missing"),
        Bad(f"""{PARTITIONED} {LISTS}
            alter table app.lists add unique (id);
            alter table app.events add list_id uuid, add constraint by_body foreign key (list_id)
                references app.lists (id)""", "app.events.by_body", also="child_without_walls key_without_tenant"),
    ],
    "foreign_table": [
        Bad(f"{FOREIGN} grant select on app.far to app_api", "app.far", ERROR),
        Bad(f"{FOREIGN} grant delete on app.far to public", "app.far", ERROR),
        Bad(f"{FOREIGN} grant insert (body) on app.far to readers; grant readers to app_api", "app.far", ERROR),
        Bad(f"{FOREIGN} grant select on app.far to app_api with grant option",
            "app.far", ERROR, also="grant_beyond_rls"),
        Bad(f"""{FOREIGN}
            alter foreign table app.far set schema hidden;
            grant select on hidden.far to app_api;
            create view app.v with (security_invoker = true) as table hidden.far""", "hidden.far", ERROR),
    ],
    "grant_beyond_rls": [
        Bad("grant truncate on app.notes to app_api", "app.notes to app_api: truncate", ERROR),
        Bad("grant truncate on app.notes to public", "app.notes to PUBLIC: truncate", ERROR),
        Bad("grant readers to app_api; grant truncate on app.notes to readers",
            "app.notes to readers: truncate", ERROR),
        Bad("grant trigger on app.notes to app_api", "app.notes to app_api: trigger", ERROR),
        Bad("grant references on app.notes to app_api", "app.notes to app_api: references"),
        Bad("grant references (body) on app.notes to app_api", "app.notes.body to app_api: references"),
        Bad("grant maintain on app.notes to app_api", "app.notes to app_api: maintain", needs=FROM_17),
        Bad("grant truncate on migrations.alembic_version to app_api",
            "migrations.alembic_version to app_api: truncate"),
        Bad("grant select on app.notes to app_api with grant option;"
            "set local role app_api; grant select on app.notes to readers; reset role", "app.notes to app_api: select"),
        Bad("grant update (body) on app.notes to app_api with grant option", "app.notes.body to app_api: update"),
        Bad(routine() + "grant execute on function app.f() to app_api with grant option",
            "app.f() to app_api: execute"),
        Bad("grant usage on schema app to app_api with grant option", "app to app_api: usage"),
        Bad("create sequence app.s; grant usage on sequence app.s to app_api with grant option",
            "app.s to app_api: usage"),
    ],
    "grant_create": [
        Bad("grant create on schema app to app_api", "schema app to app_api"),
        Bad("grant create on schema public to public", "schema public to PUBLIC"),
        Bad("grant readers to app_api; grant create on schema hidden to readers", "schema hidden to readers"),
        Bad(f"grant create on database {DATABASE} to app_api", f"database {DATABASE} to app_api"),
    ],
    "grant_default": [
        Bad("alter default privileges for role app_owner in schema app grant select on tables to app_api",
            "default for tables of app_owner in app to app_api: select"),
        Bad('create schema "a in b"; create role "c in d";'
            'alter default privileges for role "c in d" in schema "a in b" grant usage on sequences to public',
            'default for sequences of "c in d" in "a in b" to PUBLIC: usage'),
        Bad("grant readers to app_api; alter default privileges for role app_owner grant create on schemas to readers",
            "default for schemas of app_owner to readers: create"),
        Bad("alter default privileges for role app_owner grant execute on functions to public",
            "default for functions of app_owner to PUBLIC: execute"),
        Bad("alter default privileges for role app_owner in schema app grant execute on functions to public",
            "default for functions of app_owner in app to PUBLIC: execute"),
        Bad("alter default privileges for role app_owner grant execute on functions to public;"
            "alter default privileges for role app_owner in schema app grant execute on functions to readers",
            "default for functions of app_owner to PUBLIC: execute"),
    ],
    "grant_protected_column": [
        Bad("grant insert (id) on app.notes to app_api", "app.notes.id"),
        Bad("grant update (user_id) on app.notes to app_api", "app.notes.user_id"),
        Bad("grant insert (created_at), update (created_at) on app.notes to public",
            "app.notes.created_at", also="grant_to_public"),
        Bad("grant insert, update on app.notes to app_api", "app.notes.id", times=3),
        Bad("grant readers to app_api; grant insert on app.notes to readers", "app.notes.user_id", times=3),
        Bad('alter table app.notes add "Seen, or Read-ed_at" timestamp;'
            'grant update ("Seen, or Read-ed_at") on app.notes to app_api', 'app.notes."Seen, or Read-ed_at"'),
    ],
    "grant_to_public": [
        Bad("grant select on app.notes to public", "app.notes: select", also="auditor_reads_tenants"),
        Bad("grant update (body) on app.notes to public", "app.notes.body: update"),
    ],
    "index_without_tenant": [
        Bad("create index by_body on app.notes (body)", "app.by_body"),
        Bad("create index by_body on app.notes (lower(body) desc nulls last) where body <> 'a) USING b ('",
            "app.by_body"),
        Bad("create index by_body on app.notes (body, user_id) include (due_at) with (fillfactor = 70)", "app.by_body"),
        Bad('create index by_body on app.notes (body collate "C" text_pattern_ops)', "app.by_body"),
        Bad("create index by_body on app.notes using hash (body)", "app.by_body"),
        Bad("create index by_body on app.notes using brin (created_at)", "app.by_body"),
        Bad("create index by_body on app.notes using gin (to_tsvector('english', body))", "app.by_body"),
        Bad("alter table app.notes add place point; create index by_body on app.notes using gist (place)",
            "app.by_body"),
        Bad("alter table app.notes add place point; create index by_body on app.notes using spgist (place)",
            "app.by_body"),
        Bad(f"{WALLED_PARTITION} create index by_body on app.events (body)", "app.by_body"),
    ],
    "key_without_tenant": [
        Bad("alter table app.notes add constraint by_body unique (body)", "app.by_body"),
        Bad("alter table app.notes add constraint by_body unique nulls not distinct (body, due_at)", "app.by_body"),
        Bad("alter table app.notes add constraint by_body unique (body, user_id) include (due_at)"
            " deferrable initially deferred", "app.by_body"),
        Bad("create unique index by_body on app.notes (lower(body)) where due_at is null", "app.by_body"),
        Bad("alter table app.notes drop constraint notes_pkey, add constraint by_body primary key (id, user_id)",
            "app.by_body"),
        Bad("alter table app.notes drop constraint notes_pkey, add constraint by_body primary key (id)", "app.by_body"),
        Bad("alter table app.notes add constraint by_body exclude (body with =) where (due_at is null)", "app.by_body"),
        Bad("alter table app.notes add place circle,"
            " add constraint by_body exclude using gist (place with &&) deferrable", "app.by_body"),
        Bad(f"{WALLED_PARTITION} alter table app.events add constraint by_body unique (id, user_id)", "app.by_body"),
    ],
    "leakproof_function": [
        Bad("create function app.f(text) returns text language sql leakproof return $1", "app.f(text)"),
    ],
    "materialized_view": [
        Bad(f"{MATERIALIZED} grant select on app.v to app_api", "app.v", ERROR),
        Bad(f"{MATERIALIZED} grant select (body) on app.v to public", "app.v", ERROR),
        Bad(f"{MATERIALIZED} grant select on app.v to readers; grant readers to app_api", "app.v", ERROR),
        Bad("create table hidden.words (word text);"
            "create materialized view app.v as table hidden.words; grant select on app.v to app_api", "app.v"),
        Bad("""
            create view hidden.core as select * from app.notes;
            create materialized view hidden.middle as select * from hidden.core;
            grant select on hidden.middle to app_api;
            create view app.v with (security_invoker = true) as select * from hidden.middle""", "hidden.middle", ERROR),
    ],
    "policy_always_true": [
        Bad(policy("true"), "app.notes.own", ERROR),
        Bad(policy("true", "with check"), "app.notes.own", ERROR),
        Bad(policy("app.current_user_id() is not null"), "app.notes.own", ERROR),
        Bad(policy("app.current_user_id() = 'admin'"), "app.notes.own", ERROR),
        Bad("create policy p on app.notes for insert to app_api with check (true)",
            "app.notes.p", ERROR, also="policy_widens"),
        Bad(f"create policy p on app.notes for update to app_api using ({OWN}) with check (true)",
            "app.notes.p", ERROR, also="policy_widens"),
        Bad("grant readers to app_api; create policy p on app.notes to readers using (1 = 1)",
            "app.notes.p", ERROR, also="policy_widens policy_without_check"),
        Bad("grant readers to app_api; alter role app_api noinherit; "
            "create policy p on app.notes to readers using (true)",
            "app.notes.p", ERROR, also="policy_widens policy_without_check"),
        Bad("""
            create table app.colours (id int primary key);
            alter table app.colours enable row level security, force row level security;
            grant select on app.colours to app_api;
            create policy p on app.colours for select to app_api using (true)""",
            "app.colours.p", ERROR, leaves="policy_missing", also="tenant_column_missing"),
    ],
    "policy_for_other_role": [
        Bad("create policy p on app.notes for select to readers using (true)", "app.notes.p"),
        Bad(f"create policy p on app.notes to readers using ({OWN}) with check (body <> '')", "app.notes.p"),
        Bad("create policy p on app.notes for select to app_owner, readers using (id is not null)", "app.notes.p"),
    ],
    "policy_for_public": [
        Bad("alter policy own on app.notes to public", "app.notes.own"),
        Bad(f"drop policy own on app.notes; create policy p on app.notes using ({OWN}) with check ({OWN})",
            "app.notes.p"),
    ],
    "policy_missing": [
        Bad("drop policy own on app.notes", "app.notes select", times=4),
        Bad("drop policy own on app.notes", "app.notes update", times=4),
        Bad("drop policy own on app.notes; grant insert (body) on app.notes to public",
            "app.notes insert", also="grant_to_public", times=4),
        Bad("alter policy own on app.notes to readers", "app.notes delete", times=4),
        Bad(f"drop policy own on app.notes; create policy own on app.notes as restrictive to app_api using ({OWN})",
            "app.notes delete", also="policy_without_check", times=4),
        Bad(f"drop table app.notes; {walled('app.notes', 'uuid', 'app.current_user_id()::uuid')}"
            "drop policy own on app.notes", "app.notes update", times=4),
        Bad("""
            create table app.colours (id int primary key);
            alter table app.colours enable row level security, force row level security;
            grant select on app.colours to app_api""", "app.colours select", also="tenant_column_missing"),
    ],
    "policy_widens": [
        Bad(f"create policy p on app.notes to app_api using ({OWN}) with check ({OWN})", "app.notes.p"),
        Bad(f"create policy p on app.notes for select to app_api using ({OWN} and due_at is null)", "app.notes.p"),
        Bad(f"create policy p on app.notes for delete to public using ({OWN})",
            "app.notes.p", also="policy_for_public"),
        Bad(f"grant readers to app_api; create policy p on app.notes for insert to readers with check ({OWN})",
            "app.notes.p"),
    ],
    "policy_with_row_function": [
        Bad(policy(f"{OWN} and lower(body) <> 'x'"), "app.notes.own"),
        Bad(policy(f"{OWN} and lower(body) <> 'x'", "with check"), "app.notes.own"),
        Bad("create function app.f(text) returns boolean language sql return true;" + policy(f"{OWN} and app.f(body)"),
            "app.notes.own"),
        Bad(EQUALS + policy(f"{OWN} and body operator(public.=) 'x'"), "app.notes.own"),
        Bad(EQUALS + policy(f"{OWN} and body operator(public.=) any (array['x'])"), "app.notes.own"),
        Bad(f"drop table app.notes; {walled('app.notes', 'uuid', 'app.current_user_id()::uuid')}"
            + policy("user_id::text = app.current_user_id()"), "app.notes.own"),
        Bad("create policy p on app.notes as restrictive to app_api using (upper(user_id) <> 'ROOT') with check (true)",
            "app.notes.p"),
    ],
    "policy_with_subselect": [
        Bad(policy("user_id = (select app.current_user_id())"), "app.notes.own"),
        Bad(policy("user_id = (select app.current_user_id())", "with check"), "app.notes.own"),
        Bad(policy(f"{OWN} and exists (select from app.tasks)"), "app.notes.own"),
        Bad(policy("user_id = app.current_user_id() and body in (select text from app.tasks)", "with check"),
            "app.notes.own"),
    ],
    "policy_without_check": [
        Bad(f"drop policy own on app.notes; create policy own on app.notes to app_api using ({OWN} and due_at is null)",
            "app.notes.own"),
        Bad("drop policy own on app.notes; create policy own on app.notes to app_api using (true)",
            "app.notes.own", also="policy_always_true"),
        Bad("create policy p on app.notes for insert to app_api", "app.notes.p", also="policy_widens"),
        Bad(f"create policy p on app.notes for update to app_api using ({OWN})", "app.notes.p", also="policy_widens"),
        Bad(f"create policy p on app.notes as restrictive to app_api using ({OWN})", "app.notes.p"),
        Bad("create policy p on app.notes as restrictive for insert to app_api", "app.notes.p"),
    ],
    "policy_without_tenant": [
        Bad(policy(f"{OWN} or true"), "app.notes.own", ERROR),
        Bad(policy(f"{OWN} or true", "with check"), "app.notes.own", ERROR),
        Bad(EQUALS + policy("user_id operator(public.=) app.current_user_id()"),
            "app.notes.own", ERROR, also="policy_with_row_function"),
        Bad(IGNORES_CASE + policy(f"{OWN} collate app.ci"), "app.notes.own", ERROR, needs=NO_ICU),
        Bad(f"{IGNORES_CASE} drop table app.notes; {walled('app.notes', 'text collate app.ci')}",
            "app.notes.own", ERROR, times=2, needs=NO_ICU),
        Bad("create policy p on app.notes for delete to app_api using (body <> '')",
            "app.notes.p", ERROR, also="policy_widens"),
        Bad("create policy p on app.notes for insert to app_api with check (body <> '')",
            "app.notes.p", ERROR, also="policy_widens"),
        Bad(f"create policy p on app.notes for update to app_api using ({OWN}) with check (body <> '')",
            "app.notes.p", ERROR, also="policy_widens"),
        Bad("""
            create role middle in role readers; grant middle to app_api;
            create policy p on app.notes to readers using (body <> '')""",
            "app.notes.p", ERROR, also="policy_widens policy_without_check"),
        Bad("create policy p on app.notes using (body <> '')",
            "app.notes.p", ERROR, also="policy_for_public policy_widens policy_without_check"),
    ],
    "publication": [
        Bad("create publication p for table app.notes", "p of app.notes"),
        Bad("create publication p for table app.notes (body) where (body <> '')", "p of app.notes"),
        Bad("create publication p for all tables", "p of app.notes", times=3),
        Bad("create publication p for tables in schema app", "p of app.tasks", times=3),
        Bad("create publication p for tables in schema app, table app.notes", "p of app.notes", times=3),
        Bad(f"{WALLED_PARTITION} create publication p for table app.events", "p of app.events_a", times=2),
        Bad(f"{PARTITIONED} alter table app.events_a set schema hidden; create publication p for table hidden.events_a",
            "p of app.events"),
    ],
    "rls_disabled": [
        Bad("alter table app.notes disable row level security", "app.notes", ERROR),
        Bad("alter table app.notes disable row level security, no force row level security", "app.notes", ERROR),
        Bad("alter table app.notes disable row level security; alter role app_api noinherit;"
            "revoke all on app.notes from app_api; grant select on app.notes to readers; grant readers to app_api",
            "app.notes", ERROR),
        Bad("alter table app.notes disable row level security; revoke all on app.notes from app_api", "app.notes"),
        Bad("""
            alter table app.notes set schema hidden;
            alter table hidden.notes disable row level security;
            create view app.v with (security_invoker = true) as select * from hidden.notes;
            grant select on app.v to app_api""", "hidden.notes", ERROR),
    ],
    "rls_not_forced": [
        Bad("alter table app.notes no force row level security", "app.notes"),
    ],
    "role_login": [
        Bad("alter role app_owner login", "app_owner"),
    ],
    "role_membership": [
        Bad("grant app_owner to app_api", "app_owner", ERROR),
        Bad("grant app_owner to app_api with admin option", "app_owner", ERROR),
        Bad("alter role app_api noinherit; grant app_owner to app_api", "app_owner", ERROR),
        Bad("create role a noinherit; create role b; grant app_owner to a; grant a to b; grant b to app_api",
            "app_owner", ERROR),
        Bad("grant app_migrator to app_api", "app_owner", ERROR),
        Bad("grant readers to app_api; alter role readers bypassrls", "readers", ERROR),
        Bad("grant readers to app_api; alter role readers createdb", "readers"),
        Bad("grant readers to app_api; alter table app.notes owner to readers", "readers", ERROR),
        Bad("grant postgres to app_api", "postgres", ERROR),
        Bad("grant pg_write_server_files to app_api", "pg_write_server_files", ERROR),
        Bad("grant readers to app_api; grant pg_read_all_data to readers", "pg_read_all_data", ERROR),
        Bad("grant pg_monitor to app_api", "pg_monitor", times=4),
    ],
    "role_missing": [
        Bad("alter role app_api rename to app_api_before", "app_api", ERROR),
    ],
    "role_owns": [
        Bad("alter table app.notes owner to app_api", "table app.notes", ERROR),
        Bad("alter schema hidden owner to app_api", "schema hidden", ERROR),
        Bad(routine("app.f(text)", owner="app_api"), "function app.f(pg_catalog.text)", ERROR),
        Bad("create sequence app.s; alter sequence app.s owner to app_api", "sequence app.s", ERROR),
        Bad("create type app.mood as enum (); alter type app.mood owner to app_api", "type app.mood", ERROR),
    ],
    "role_power": [
        Bad("alter role app_api superuser", "app_api SUPERUSER", ERROR),
        Bad("alter role app_api bypassrls", "app_api BYPASSRLS", ERROR),
        Bad("alter role app_api createrole", "app_api CREATEROLE", ERROR),
        Bad("alter role app_api replication", "app_api REPLICATION", ERROR),
        Bad("alter role app_api createdb", "app_api CREATEDB"),
        Bad("alter role app_owner superuser", "app_owner SUPERUSER"),
        Bad("alter role app_owner bypassrls", "app_owner BYPASSRLS"),
        Bad("alter role app_migrator bypassrls", "app_migrator BYPASSRLS"),
        Bad("alter role app_auditor createrole", "app_auditor CREATEROLE"),
    ],
    "rule_on_table": [
        Bad("create rule own as on delete to app.notes do instead nothing", "app.notes.own"),
        Bad("create rule p as on insert to app.notes do also delete from app.tasks", "app.notes.p"),
    ],
    "setting_on_role": [
        Bad("alter role app_api set app.user_id = 'alice'", "app.user_id on role app_api", ERROR),
        Bad('alter role app_api set "APP"."User_Id" = \'alice\'', "app.user_id on role app_api", ERROR),
        Bad("alter role all set app.user_id = 'alice'", "app.user_id on role all", ERROR),
        Bad("alter role app_api set role = 'readers'", "role on role app_api", ERROR),
        Bad("alter role app_api set row_security = off", "row_security on role app_api"),
        Bad("alter role app_migrator set audit.explaining = 'on'", "audit.explaining on role app_migrator"),
        Bad("alter role readers set app.user_id = 'alice'", "app.user_id on role readers"),
        Bad(f"alter database {DATABASE} set app.user_id = 'alice'", f"app.user_id on database {DATABASE}", ERROR),
        Bad(f"alter role app_api in database {DATABASE} set role = 'readers'",
            f"role on role app_api in database {DATABASE}", ERROR),
    ],
    "tenant_column_missing": [
        Bad("create table app.colours (id int primary key)",
            "app.colours", leaves="key_without_tenant", also="rls_disabled"),
        Bad("""
            alter table app.notes rename user_id to owner_id;
            create index by_body on app.notes (owner_id, body)""",
            "app.notes", ERROR, leaves="key_without_tenant index_without_tenant", also="policy_without_tenant"),
        Bad("""
            create table app.events (id int) partition by list (id);
            create table app.events_1 partition of app.events for values in (1);
            alter table app.events enable row level security, force row level security;
            alter table app.events_1 enable row level security, force row level security""", "app.events_1", times=2),
    ],
    "tenant_column_nullable": [
        Bad("alter table app.notes drop constraint notes_pkey, alter user_id drop not null, add unique (user_id, id)",
            "app.notes.user_id"),
    ],
    "trigger_as_owner": [
        Bad(TRIGGER, "app.notes.t"),
        Bad(f"{TRIGGER} alter table app.notes disable trigger t", "app.notes.t"),
        Bad(f"{WALLED_PARTITION} {TRIGGER.replace('app.notes', 'app.events')}", "app.events.t"),
    ],
    "view_definer": [
        Bad("create view app.v as select * from app.notes; grant select on app.v to app_api", "app.v", ERROR),
        Bad("create view app.v as select * from app.notes; grant delete on app.v to app_api", "app.v", ERROR),
        Bad("create view app.v as select * from app.notes", "app.v"),
        Bad("create view app.v with (security_invoker = off) as select 1 from app.notes", "app.v"),
        Bad("create view app.v as select (select count(*) from app.notes)", "app.v"),
        Bad("""
            create view app.v with (security_invoker) as select * from app.notes;
            create view app.w as select * from app.v;
            grant select on app.v, app.w to app_api""", "app.w", ERROR),
        Bad("""
            create view hidden.core as select * from app.notes;
            create view app.v with (security_invoker) as select * from hidden.core;
            grant select on hidden.core, app.v to app_api""", "hidden.core", ERROR),
        Bad(f"""{WALLED_PARTITION}
            alter table app.events_a set schema hidden;
            create view app.v as table hidden.events_a;
            grant select on app.v to app_api""", "app.v", ERROR),
        Bad("""
            create materialized view hidden.middle as select * from app.notes;
            create view public.v as select * from hidden.middle;
            grant select on public.v to readers;
            grant readers to app_api""", "public.v", ERROR),
    ],
}

GOOD: dict[str, list[Good]] = {
    "auditor_reads_tenants": [
        Good("grant readers to app_auditor; grant usage on schema app to app_auditor"),
        Good("grant select on app.notes to readers"),
        Good("alter role app_auditor rename to nobody; grant select on app.notes to public", besides="grant_to_public"),
        Good("create table hidden.numbers as select 1 as one; grant select on hidden.numbers to app_auditor"),
    ],
    "child_without_walls": [
        Good(WALLED_PARTITION),
        Good(f"{PARTITIONED} alter table app.events_a set schema hidden"),
        Good("""
            create table app.child () inherits (app.notes);
            alter table app.child enable row level security, force row level security"""),
    ],
    "context_function": [
        Good(context()),
        Good(context(options="stable cost 1") + "; comment on function app.current_user_id() is 'The caller.'"),
        Good("create function app.current_user_id(text) returns text language sql immutable return $1"),
    ],
    "definer_function_bypasses": [
        Good(routine() + "grant execute on function app.f() to app_api"),
        Good(routine(owner="postgres") + "grant execute on function app.f() to readers"),
        Good("create function app.f() returns text language sql return 'the caller''s own rights'"),
        Good(routine("pg_temp.f()", owner="postgres") + "grant execute on function pg_temp.f() to app_api"),
    ],
    "definer_function_public": [
        Good(routine() + "grant execute on function app.f() to app_api, readers"),
        Good("create function app.f() returns text language sql return 'as the caller'"),
        Good(routine("pg_temp.f()") + "grant execute on function pg_temp.f() to public"),
    ],
    "definer_function_search_path": [
        Good(routine() + "alter function app.f() set search_path = app, pg_temp"),
        Good("create procedure app.f() language sql as 'select'"),
        Good(routine("pg_temp.f()", path=False)),
    ],
    "foreign_key_without_tenant": [
        Good(f"""{LISTS}
            alter table app.notes add list_id uuid, add foreign key (user_id, list_id)
                references app.lists on delete set null (list_id)"""),
        Good("alter table app.notes add answers uuid, add foreign key (user_id, answers) references app.notes"),
        Good(f"""{PARTITIONED} alter table app.events_a set schema hidden;
            alter table app.notes add event_id uuid, add foreign key (user_id, event_id) references app.events"""),
        Good("""
            create table app.colours (id int primary key);
            grant select on app.colours to app_api;
            alter table app.notes add colour int references app.colours""",
            besides="tenant_column_missing rls_disabled"),
    ],
    "foreign_table": [
        Good(FOREIGN),
        Good(f"{FOREIGN} grant select on app.far to readers, app_auditor"),
        Good(f"{FOREIGN} grant references on app.far to app_api", besides="grant_beyond_rls"),
        Good(f"{FOREIGN} alter foreign table app.far set schema hidden; grant select on hidden.far to app_api"),
    ],
    "grant_beyond_rls": [
        Good("grant truncate, references, trigger on app.notes to readers"),
        Good("grant select on app.notes to readers with grant option"),
        Good("create temporary table mine (id int); grant all on mine to app_api with grant option"),
    ],
    "grant_create": [
        Good("grant create on schema app to readers; grant usage on schema hidden to app_api"),
        Good(f"grant temporary on database {DATABASE} to app_api"),
    ],
    "grant_default": [
        Good("alter default privileges for role app_owner in schema app grant select on tables to app_auditor"),
        Good("alter default privileges for role app_owner grant usage on types to app_api"),
        Good("alter default privileges for role app_api grant select on tables to readers"),
    ],
    "grant_protected_column": [
        Good("alter table app.notes add remind_at timestamptz; grant update (remind_at) on app.notes to app_api"),
        Good("alter table app.notes add embed_at text; grant insert (embed_at) on app.notes to app_api"),
        Good("alter table app.notes add needed boolean; grant update (needed) on app.notes to app_api"),
        Good("grant select (id, user_id, created_at) on app.notes to app_api"),
        Good("grant update on app.notes to readers"),
    ],
    "grant_to_public": [
        Good("grant select on app.notes to readers"),
        Good("create view hidden.one as select 1 as one; grant select on hidden.one to public"),
        Good("grant references on app.notes to public", besides="grant_beyond_rls"),
    ],
    "index_without_tenant": [
        Good("create index on app.notes (user_id, body) include (due_at)"),
        Good("create index on app.notes (user_id, lower(body)) where due_at is null"),
        Good(f"{WALLED_PARTITION} create index on app.events (user_id, body)"),
        Good("create table hidden.words (word text); create index on hidden.words (word)"),
    ],
    "key_without_tenant": [
        Good("alter table app.notes add unique (user_id, body)"),
        Good("create unique index on app.notes (user_id, lower(body))"),
        Good("alter table app.notes add exclude (user_id with =, body with =)"),
        Good(f"{WALLED_PARTITION} alter table app.events add unique (user_id, body)"),
    ],
    "leakproof_function": [
        Good("create function app.f(text) returns text language sql return $1"),
        Good("""
            create extension pg_trgm with schema app;
            alter function app.similarity leakproof security definer;
            grant execute on function app.similarity to app_api with grant option;
            create table app.trigrams (body text);
            alter table app.trigrams disable row level security;
            grant all on app.trigrams to public;
            alter extension pg_trgm add table app.trigrams"""),
    ],
    "materialized_view": [
        Good(MATERIALIZED),
        Good(f"{MATERIALIZED} grant select on app.v to readers"),
        Good("create materialized view hidden.m as select * from app.notes; grant select on hidden.m to app_api"),
    ],
    "policy_always_true": [
        Good(policy("false", "with check")),
        Good(policy("null", "with check")),
        Good("create policy p on app.notes as restrictive to app_api using (true) with check (true)"),
        Good("create policy p on app.notes as restrictive to app_api using (now() > '2000-1-1') with check (null)"),
    ],
    "policy_for_other_role": [
        Good(f"create policy p on app.notes to readers using ({OWN}) with check ({OWN})"),
        Good("create policy p on app.notes for select to app_owner using (false)"),
        Good("create policy p on app.notes as restrictive for select to readers using (body <> '')"),
        Good("""
            create table hidden.drafts (body text);
            alter table hidden.drafts enable row level security;
            create policy p on hidden.drafts to readers using (true) with check (true)"""),
    ],
    "policy_for_public": [
        Good("create policy p on app.notes as restrictive using (due_at is null) with check (true)"),
        Good("alter policy own on app.notes to app_api, readers"),
    ],
    "policy_missing": [
        Good(
            "revoke delete on app.notes from app_api; grant delete on app.notes to readers;"
            "drop policy own on app.notes;"
            f"create policy s on app.notes for select to app_api using ({OWN});"
            f"create policy a on app.notes for insert to app_api with check ({OWN});"
            f"create policy w on app.notes for update to app_api using ({OWN}) with check ({OWN})"),
        Good("grant readers to app_api; alter policy own on app.notes to readers"),
    ],
    "policy_widens": [
        Good(f"""
            drop policy own on app.notes;
            create policy s on app.notes for select to app_api using ({OWN});
            create policy a on app.notes for insert to app_api with check ({OWN});
            create policy w on app.notes for update to app_api using ({OWN}) with check ({OWN});
            create policy d on app.notes for delete to app_api using ({OWN})"""),
        Good(f"create policy p on app.notes to readers using ({OWN}) with check ({OWN})"),
        Good("create policy p on app.notes as restrictive for delete to app_api using (due_at is null)"),
    ],
    "policy_with_row_function": [
        Good(policy(f"{OWN} and body <> 'x' and due_at is null and body like 'y%'")),
        Good(policy(f"{OWN} and body <> lower(app.current_user_id())")),
        Good(f"drop table app.notes; {walled('app.notes', 'varchar(100)')}"),
        Good(f"drop table app.notes; {walled('app.notes', 'uuid', 'app.current_user_id()::uuid')}"),
        Good(f"drop table app.notes; {walled('app.notes', 'bigint', 'app.current_user_id()::bigint')}"),
    ],
    "policy_with_subselect": [
        Good(policy(f"{OWN} and body <> '(select 1) {{SUBLINK :subLinkType 4}} <> \\ ('")),
    ],
    "policy_without_check": [
        Good(policy(OWN, "with check")),
        Good(f"create policy p on app.notes as restrictive for select to app_api using ({OWN})"),
        Good("create policy p on app.notes as restrictive for delete to app_api using (due_at is null)"),
    ],
    "policy_without_tenant": [
        Good(policy("app.current_user_id() = user_id")),
        Good(policy(f"({OWN} and not body = 'x')")),
        Good(policy(f"due_at is null and (body <> 'x' and ({OWN} and body <> 'y'))")),
        Good(policy("user_id = app.current_user_id()::varchar")),
        Good("create domain app.subject as text;" + policy("user_id = app.current_user_id()::app.subject")),
        Good(policy(f'{OWN} collate "C"')),
        Good(f"drop table app.notes; create domain app.subject as text; {walled('app.notes', 'app.subject')}"
            f"{walled('app.lists', 'varchar')}"),
        Good("alter table app.notes drop due_at"),
        Good("create policy p on app.notes as restrictive to app_api using (body <> '') with check (body <> '')"),
        Good(policy("(body = any (array['{(', '),', '<>', '\\}'])) is not null and user_id = app.current_user_id()")),
        Good(IGNORES_CASE + policy(f"{OWN} and body = app.current_user_id() collate app.ci"), needs=NO_ICU),
    ],
    "publication": [
        Good("create table hidden.words (word text); create publication p for table hidden.words"),
        Good("create publication p for tables in schema hidden"),
        Good("create publication p"),
    ],
    "rls_disabled": [
        Good("create table hidden.words (word text)"),
        Good("create temporary table mine (id int); grant select on mine to app_api"),
        Good(ODD_SCHEMA + odd(walled("app.notes"))),
    ],
    "rls_not_forced": [
        Good("create table hidden.words (word text); alter table hidden.words enable row level security"),
    ],
    "role_login": [
        Good("alter role app_owner password null; grant app_owner to readers; alter role readers login"),
    ],
    "role_membership": [
        Good("grant readers to app_api"),
        Good("create role middle noinherit in role readers; grant middle to app_api"),
        Good("grant app_api to readers; grant app_owner to readers"),
    ],
    "role_missing": [
        Good("create role app_api_2 login"),
    ],
    "role_owns": [
        Good("set local role app_api; create temporary table mine (id serial primary key, body text);"
            "create function pg_temp.f() returns int language sql return 1; reset role"),
        Good("create table hidden.words (word text); alter table hidden.words owner to readers"),
    ],
    "role_power": [
        Good("alter role readers superuser createdb; alter role app_migrator createdb createrole"),
        Good("alter role app_api noinherit connection limit 10"),
    ],
    "rule_on_table": [
        Good("""
            create view app.v with (security_invoker = true) as select * from app.notes;
            create rule r as on delete to app.v do instead nothing"""),
    ],
    "setting_on_role": [
        Good("alter role app_api set statement_timeout = '5s'; alter role all set work_mem = '8MB'"),
        Good("alter role app_api set app.user_id_column = 'user_id'"),
        Good("alter role app_api in database postgres set app.user_id = 'alice'"),
    ],
    "tenant_column_missing": [
        Good("create table hidden.words (word text)"),
        Good("alter table app.notes add colour text"),
    ],
    "tenant_column_nullable": [
        Good("alter table app.notes alter body drop not null"),
    ],
    "trigger_as_owner": [
        Good(f"{TRIGGER} alter function app.f() security invoker"),
        Good("create table hidden.words (word text);" + TRIGGER.replace("app.notes", "hidden.words")),
    ],
    "view_definer": [
        Good("create view app.v with (security_invoker = true) as table app.notes; grant all on app.v to readers"),
        Good("""
            create view app.v with (security_invoker) as select * from app.notes;
            create view app.w with (security_invoker) as select * from app.v;
            grant select, delete on app.v, app.w to app_api"""),
        Good("create view hidden.v as select * from app.notes; grant select on hidden.v to readers"),
        Good("create view app.v as select now(); grant select on app.v to app_api"),
    ],
}
# fmt: on

# A key or an index that is called by_body, and how it is defined after it was mended.
MENDED = [
    (
        (
            f"{LISTS} alter table app.lists add unique (id);"
            "alter table app.notes add list_id uuid, add constraint by_body foreign key (list_id)"
            " references app.lists (id) on delete set null on update cascade deferrable initially deferred"
        ),
        (
            "FOREIGN KEY (user_id, list_id) REFERENCES app.lists(user_id, id)"
            " ON UPDATE CASCADE ON DELETE SET NULL (list_id) DEFERRABLE INITIALLY DEFERRED"
        ),
    ),
    (
        (
            f"{LISTS} alter table app.lists add unique (id, user_id);"
            "alter table app.notes add list_id uuid, add constraint by_body foreign key (list_id, user_id)"
            " references app.lists (id, user_id) match full not valid"
        ),
        "FOREIGN KEY (user_id, list_id) REFERENCES app.lists(user_id, id) MATCH FULL NOT VALID",
    ),
    (
        (
            "alter table app.notes add constraint by_body"
            " unique nulls not distinct (due_at, user_id, body) include (id) deferrable"
        ),
        "UNIQUE NULLS NOT DISTINCT (user_id, due_at, body) INCLUDE (id) DEFERRABLE",
    ),
    (
        """
        alter table app.notes add constraint by_body unique (id);
        alter table app.notes add answers uuid, add foreign key (answers) references app.notes (id)""",
        "UNIQUE (user_id, id)",
    ),
    (
        f"""{LISTS}
        alter table app.lists drop constraint lists_pkey, add primary key (id);
        create unique index on app.lists (user_id, id) where body <> '';
        alter table app.notes add list_id uuid, add constraint by_body foreign key (list_id) references app.lists""",
        "FOREIGN KEY (user_id, list_id) REFERENCES app.lists(user_id, id)",
    ),
    (
        "alter table app.notes drop constraint notes_pkey, add constraint by_body primary key (id)",
        "PRIMARY KEY (user_id, id)",
    ),
    (
        "alter table app.notes add constraint by_body exclude (body with =) where (due_at is null)",
        "EXCLUDE USING btree (user_id WITH =, body WITH =) WHERE ((due_at IS NULL))",
    ),
    (
        "create unique index by_body on app.notes (lower(body) desc) include (id) where due_at is null",
        (
            "CREATE UNIQUE INDEX by_body ON app.notes USING btree (user_id, lower(body) DESC) INCLUDE (id)"
            " WHERE (due_at IS NULL)"
        ),
    ),
    (
        "create index by_body on app.notes using gin (to_tsvector('english', body)) with (fastupdate = off)",
        (
            "CREATE INDEX by_body ON app.notes USING gin (user_id, to_tsvector('english'::regconfig, body))"
            " WITH (fastupdate=off)"
        ),
    ),
    (
        'create index by_body on app.notes using hash (body collate "C")',
        'CREATE INDEX by_body ON app.notes USING btree (user_id, body COLLATE "C")',
    ),
]

# Clauses that look like the comparison, or contain it, and let in a stranger: or nobody can tell that they do not.
NEARLY = [
    f"{OWN} or true",
    f"{OWN} or body = ''",
    f"({OWN}) is not null",
    f"not ({OWN})",
    f"case when body = '' then true else {OWN} end",
    "user_id is not distinct from app.current_user_id()",
    "user_id <> app.current_user_id()",
    "user_id >= app.current_user_id()",
    "user_id like app.current_user_id()",
    "body = app.current_user_id()",
    "app.current_user_id() = body",
    "user_id = user_id",
    "user_id = current_setting('app.user_id')",
    "user_id = lower(app.current_user_id())",
    "lower(user_id) = lower(app.current_user_id())",
    "user_id = left(app.current_user_id(), 3)",
    "user_id = app.current_user_id()::varchar(3)",
    "user_id = app.current_user_id()::char(9)",
    "user_id::bpchar = app.current_user_id()::bpchar",
    "user_id = app.current_user_id()::int::text",
    "user_id::int = app.current_user_id()::int",
    "user_id = coalesce(app.current_user_id(), user_id)",
    "user_id = (select coalesce(app.current_user_id(), 'alice'))",
    "user_id = (select app.current_user_id() union select 'alice' limit 1)",
    "app.current_user_id() = (select n.user_id from app.notes as n limit 1)",
    "app.current_user_id() = (select user_id)",
    "exists (select from app.tasks as t where t.user_id = app.current_user_id())",
    "app.current_user_id() in (select user_id from app.tasks)",
    f"body = '{{OPEXPR :opno 98 ({OWN})' or body = 'user_id = app.current_user_id()'",
]

# Sub-selects whose names look like pieces of parse trees: the reader of the trees must survive them.
NAMES = (":args", "a :opno 98", "{OPEXPR", ")", "}", "\\", "<>", "b\rc\nd\te", "1 [ 0 ]", ' "', "{}")

OLD_SERVERS = (150002, 150013, 160004, 170000, 170005)
MENDED_SERVERS = (150018, 160010, 170006, 180000)

Cases = Sequence[tuple[str, Bad | Good]]
PLAIN_CASES = [(name, bad) for name, twins in BAD.items() for bad in twins]
GOOD_CASES = [(name, good) for name, twins in GOOD.items() for good in twins]
ODD_CASES = [
    (name, bad._replace(plant=odd(bad.plant), object=odd(bad.object)))
    for name, bad in PLAIN_CASES
    if odd(bad.object) != bad.object
]


@pytest.fixture(scope="module")
def house(migrated: NoopExecutor) -> Iterator[psycopg.Connection]:
    """A superuser's connection to a migrated database that every test of this module leaves as it was."""
    host, port, user, password = migrated.host, migrated.port, migrated.user, migrated.password
    template = migrated.template_dbname
    with (
        DatabaseJanitor(host=host, port=port, user=user, password=password, dbname=DATABASE, template_dbname=template),
        psycopg.connect(host=host, port=port, user=user, password=password, dbname=DATABASE) as connection,
    ):
        run(connection, HEALTHY)
        run(connection, "prepare look as select * from audit.findings")  # planning takes longer than looking
        connection.commit()
        yield connection


@pytest.fixture
def planted(house: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A database to plant something in. Roles belong to the whole server, so each is made in the transaction."""
    run(house, "create role readers")
    yield house
    house.rollback()


def run(connection: psycopg.Connection, statements: str) -> None:
    connection.execute(statements, prepare=False)


def look(connection: psycopg.Connection) -> list[Finding]:
    return [Finding(*row) for row in connection.execute("execute look", prepare=False).fetchall()]


def look_alone(connection: psycopg.Connection, name: str) -> set[Finding]:
    """Run one check by itself as the auditor, who finds names by another path."""
    run(connection, "set local role app_auditor; set local search_path = app, public")
    rows = connection.execute(CHECKS[name]).fetchall()
    accepted = connection.execute("select key from audit.accepted").fetchall()
    run(connection, "reset role; reset search_path")
    return {Finding(*row) for row in rows if (row[-1],) not in accepted}


def skip_unless(connection: psycopg.Connection, needs: tuple[str, str]) -> None:
    query, reason = needs
    if connection.execute(query).fetchone() is None:
        pytest.skip(reason)


def ids(cases: Cases) -> list[str]:
    return [f"{name}-{number}" for number, (name, _) in enumerate(cases)]


@pytest.mark.parametrize(("name", "bad"), PLAIN_CASES, ids=ids(PLAIN_CASES))
def test_a_bad_twin_is_named_and_its_remediation_mends_it(planted: psycopg.Connection, name: str, bad: Bad) -> None:
    skip_unless(planted, bad.needs)
    run(planted, bad.plant)

    before = look(planted)
    finding, *_ = [found for found in before if (found.name, found.object) == (name, bad.object)]
    assert finding.level == bad.level
    assert finding.detail.endswith(".")
    assert finding.key.startswith(f"{name}:{bad.object}")
    assert {found.name for found in before} == {name, *bad.also.split()}
    assert len([found for found in before if found.name == name]) == bad.times
    known = {found.key for found in before}
    assert len(known) == len(before)
    assert look_alone(planted, name) == {found for found in before if found.name == name}

    run(planted, finding.remediation)
    after = look(planted)
    new = [found for found in after if found.key not in known]
    assert finding.key not in {found.key for found in after}
    assert {found.name for found in new} == set(bad.leaves.split())
    assert ERROR not in {found.level for found in new}

    # Whoever mends what is left, from the top, comes to an end.
    for _ in range(20):
        if after:
            run(planted, after[0].remediation)
            after = look(planted)
    assert after == []


@pytest.mark.parametrize(("name", "bad"), ODD_CASES, ids=ids(ODD_CASES))
def test_names_that_must_be_quoted_are_quoted(planted: psycopg.Connection, name: str, bad: Bad) -> None:
    skip_unless(planted, bad.needs)
    run(planted, f"{ODD_SCHEMA} create role {odd('readers')}; {odd(walled('app.notes'))} {bad.plant}")

    finding, *_ = [found for found in look_alone(planted, name) if found.object == bad.object]
    assert finding.level == bad.level
    assert finding.key.startswith(f"{name}:{bad.object}")

    run(planted, finding.remediation)
    assert finding.key not in {found.key for found in look_alone(planted, name)}


@pytest.mark.parametrize(("name", "good"), GOOD_CASES, ids=ids(GOOD_CASES))
def test_a_good_twin_is_not_named(planted: psycopg.Connection, name: str, good: Good) -> None:
    skip_unless(planted, good.needs)
    run(planted, good.plant)

    named = {finding.name for finding in look(planted)}
    assert named == set(good.besides.split())
    assert name not in named


@pytest.mark.parametrize(("plant", "mended"), MENDED)
def test_what_is_mended_is_otherwise_as_it_was(planted: psycopg.Connection, plant: str, mended: str) -> None:
    run(planted, plant)
    for finding in look(planted):
        run(planted, finding.remediation)

    assert look(planted) == []
    definition = """
        select coalesce((select pg_get_constraintdef(oid) from pg_constraint where conname = 'by_body'),
            (select pg_get_indexdef(oid) from pg_class where relname = 'by_body'))"""
    assert planted.execute(definition).fetchone() == (mended,)


def test_what_somebody_owns_in_another_database_is_not_named(
    planted: psycopg.Connection, migrated: NoopExecutor
) -> None:
    info = planted.info
    elsewhere = make_conninfo(info.dsn, dbname=migrated.maintenance_dbname, password=info.password)
    with psycopg.connect(elsewhere, autocommit=True) as other:
        try:
            run(other, "create schema of_the_api authorization app_api")
            run(other, "create schema of_the_auditor authorization app_auditor")
            run(planted, "grant app_auditor to app_api")
            assert look(planted) == []
        finally:
            planted.rollback()
            run(other, "drop schema if exists of_the_api, of_the_auditor")


# ---- the clauses of policies -------------------------------------------------------------------------


def keys(connection: psycopg.Connection, name: str, clause: str) -> list[str]:
    """Return the keys of what a check says about a policy with `clause` in USING and in WITH CHECK."""
    run(connection, f"alter policy own on app.notes using ({clause}) with check ({clause})")
    return sorted(finding.key for finding in look_alone(connection, name))


@pytest.mark.parametrize("clause", NEARLY)
def test_a_clause_that_only_looks_like_the_comparison_is_an_error(planted: psycopg.Connection, clause: str) -> None:
    named = ["policy_without_tenant:app.notes.own", "policy_without_tenant:app.notes.own:check"]
    assert keys(planted, "policy_without_tenant", clause) == named


@pytest.mark.parametrize("name", NAMES)
def test_names_that_look_like_pieces_of_a_parse_tree_are_read_as_names(planted: psycopg.Connection, name: str) -> None:
    quoted = '"{}"'.format(name.replace('"', '""'))
    columns = ", ".join([quoted, *(f"c{number}" for number in range(7))])
    clause = "body in (select '' as NAME from app.tasks as NAME (COLUMNS))"
    clause = clause.replace("NAME", quoted).replace("COLUMNS", columns)

    named = ["policy_with_subselect:app.notes.own", "policy_with_subselect:app.notes.own:check"]
    assert keys(planted, "policy_with_subselect", f"{OWN} and {clause}") == named
    assert look_alone(planted, "policy_without_tenant") == set()
    assert len(keys(planted, "policy_without_tenant", clause)) == 2


# ---- the files ---------------------------------------------------------------------------------------


def test_each_check_has_its_twins() -> None:
    assert BAD.keys() == GOOD.keys() == CHECKS.keys() - {"server_version"}
    assert all([*BAD.values(), *GOOD.values()])


@pytest.mark.parametrize(("versions", "count"), [(OLD_SERVERS, 1), (MENDED_SERVERS, 0)])
def test_a_server_with_known_holes_is_an_error(planted: psycopg.Connection, versions: tuple[int], count: int) -> None:
    """A server cannot be made older: the query is asked about another version than its own."""
    setting = "current_setting('server_version_num')::int"
    assert CHECKS["server_version"].count(setting) == 2
    for version in versions:
        query = CHECKS["server_version"].replace(setting, str(version))
        rows = planted.execute(query).fetchall()
        assert len(rows) == count, version
        for finding in (Finding(*row) for row in rows):
            assert finding[:3] == ("server_version", ERROR, "server")
            assert finding.key == f"server_version:{version // 10000}"
            assert "CVE-2025-8713" in finding.detail
            assert finding.remediation.startswith(f"-- Update the server to PostgreSQL {version // 10000}.")


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_says_why_and_is_run_by_psql_alone(house: psycopg.Connection, name: str) -> None:
    file = Path(audit.__file__).with_name(f"{name}.sql")
    assert re.match(r"-- [A-Z].{60}", file.read_text(), re.DOTALL)
    assert f"    '{name}' as name,\n" in file.read_text()

    info = house.info
    where = url_of("app_auditor", {"host": info.host, "port": info.port, "dbname": info.dbname})
    command = [binary("psql"), "--no-psqlrc", "--csv", "--set=ON_ERROR_STOP=1", f"--file={file}", where]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[0] == ",".join(Finding._fields)


def test_a_look_takes_less_than_a_tenth_of_a_second(house: psycopg.Connection) -> None:
    def look_once() -> float:
        [(plan,)] = house.execute("explain (analyze, format json) select * from audit.findings").fetchall()
        return float(plan[0]["Execution Time"])

    assert min(look_once() for _ in range(5)) < 100
