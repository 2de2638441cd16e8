"""The checks of tables: row-level security, the tenant column, and what reads or changes rows beside queries."""

from tests.support.twins import (
    ERROR,
    FROM_18,
    IGNORES_CASE,
    NO_ICU,
    ODD_SCHEMA,
    OWN,
    PARTITION_WITH_RLS,
    PARTITIONED,
    Bad,
    Good,
    Twins,
    odd,
    parametrized,
    tenant_table,
)

CHILD = """
    create table scratch.child () inherits (scratch.notes);
    alter table scratch.child add primary key (user_id, id);
"""
TRIGGER = """
    create function scratch.f() returns trigger language plpgsql security definer set search_path = ''
        as 'begin return new; end';
    alter function scratch.f() owner to app_owner;
    revoke execute on function scratch.f() from public;
    create trigger t before insert on scratch.notes for each row execute function scratch.f();
"""

AGAIN = f"drop table scratch.notes; {tenant_table('scratch.notes')}"
GENERATED = "drop table scratch.notes;" + tenant_table("scratch.notes").replace(
    "default app.current_user_id()", "generated always as (lower(body)) stored"
)
OWN_PARTITION = f"create policy p on scratch.events_a to app_api using ({OWN}) with check ({OWN});"

# fmt: off
# A twin is two or three lines.
TWINS: Twins = {
    "rls_disabled": [
        Bad("alter table scratch.notes disable row level security", "scratch.notes", ERROR),
        Bad("alter table scratch.notes disable row level security, no force row level security",
            "scratch.notes", ERROR),
        Bad("alter table scratch.notes disable row level security; alter role app_api noinherit;"
            "revoke all on scratch.notes from app_api;"
            "grant select on scratch.notes to readers; grant readers to app_api",
            "scratch.notes", ERROR),
        Bad("alter table scratch.notes disable row level security; revoke all on scratch.notes from app_api",
            "scratch.notes"),
        Bad("""
            alter table scratch.notes set schema hidden;
            alter table hidden.notes disable row level security;
            create view scratch.v with (security_invoker = true) as select * from hidden.notes;
            grant select on scratch.v to app_api""", "hidden.notes", ERROR),
        Good("create table hidden.words (word text)"),
        Bad("""
            create table hidden.posts (user_id text not null default app.current_user_id(), id int, body text,
                primary key (user_id, id));
            grant usage on schema hidden to app_api""", "hidden.posts", advice=True),
        Good("create temporary table mine (id int); grant select on mine to app_api"),
        Good(ODD_SCHEMA + odd(tenant_table("scratch.notes"))),
    ],
    "rls_not_forced": [
        Bad("alter table scratch.notes no force row level security", "scratch.notes"),
        Good("create table hidden.words (word text); alter table hidden.words enable row level security"),
    ],
    "child_table_without_rls": [
        Bad(f"{CHILD} grant select on scratch.child to app_api", "scratch.child", ERROR, leaves="policy_missing"),
        Bad(f"{PARTITIONED} grant select on scratch.events_a to public",
            "scratch.events_a", ERROR, leaves="policy_missing", also="auditor_reads_tenants grant_to_public"),
        Bad(f"{PARTITION_WITH_RLS} grant select on scratch.events_a to app_api; {OWN_PARTITION}"
            "alter table scratch.events_a no force row level security", "scratch.events_a"),
        Bad(f"""{PARTITIONED}
            alter table scratch.events_a set schema hidden;
            alter table hidden.events_a owner to postgres;
            grant usage on schema hidden to app_api;
            grant delete on hidden.events_a to app_api""",
            "hidden.events_a", ERROR, leaves="policy_missing", advice=True),
        Good(CHILD),
        Good(PARTITIONED),
        Good(PARTITION_WITH_RLS),
        Good(f"{PARTITIONED} alter table scratch.events_a set schema hidden"),
        Good(f"{CHILD} alter table scratch.child enable row level security, force row level security"),
    ],
    "tenant_column_missing": [
        Bad("create table scratch.colours (id int primary key)",
            "scratch.colours", leaves="key_without_tenant", also="rls_disabled"),
        Bad("""
            alter table scratch.notes rename user_id to owner_id;
            create index by_body on scratch.notes (owner_id, body)""",
            "scratch.notes", ERROR, leaves="key_without_tenant index_without_tenant", also="policy_without_tenant"),
        Bad("""
            create table scratch.events (id int) partition by list (id);
            create table scratch.events_1 partition of scratch.events for values in (1);
            alter table scratch.events enable row level security, force row level security;
            alter table scratch.events_1 enable row level security, force row level security""",
            "scratch.events", leaves="primary_key_missing"),
        Good("create table hidden.words (word text)"),
        Good("alter table scratch.notes add colour text"),
    ],
    "tenant_column_type": [
        *(
            Bad(f"drop table scratch.notes; {tenant_table('scratch.notes', kind, f'app.current_user_id()::{kind}')}",
                "scratch.notes.user_id", ERROR, fix=AGAIN)
            for kind in ("numeric", "float8", "real", "boolean", "date", "timestamptz", "interval", "inet")
        ),
        Bad(f"""drop table scratch.notes;
            create domain scratch.whole as numeric check (value = trunc(value));
            {tenant_table("scratch.notes", "scratch.whole", "app.current_user_id()::numeric")}""",
            "scratch.notes.user_id", ERROR, fix=AGAIN),
        Bad(f"drop table scratch.notes; {tenant_table('scratch.notes', 'char(9)', 'app.current_user_id()::char(9)')}",
            "scratch.notes.user_id", ERROR, fix=AGAIN, also="policy_without_tenant tenant_column_without_default"),
        Bad(f"""create extension citext with schema scratch;
            drop table scratch.notes;
            {tenant_table("scratch.notes", "scratch.citext", "app.current_user_id()::scratch.citext")}""",
            "scratch.notes.user_id", ERROR, fix=AGAIN),
        Bad(f"{IGNORES_CASE} drop table scratch.notes; {tenant_table('scratch.notes', 'text collate scratch.ci')}",
            "scratch.notes.user_id", fix=AGAIN, also="policy_without_tenant", needs=NO_ICU),
        Bad(f"{IGNORES_CASE} create index by_body on scratch.notes (user_id collate scratch.ci, body)",
            "scratch.notes.user_id", fix="drop index scratch.by_body", needs=NO_ICU),
        *(
            Good(f"drop table scratch.notes; {tenant_table('scratch.notes', kind, f'app.current_user_id()::{kind}')}")
            for kind in ("bigint", "int", "uuid")
        ),
        Good(f"drop table scratch.notes; {tenant_table('scratch.notes', 'varchar(99)')}"),
        Good("drop table scratch.notes;" + tenant_table("scratch.notes", 'text collate "C"')),
        Good(f"""drop table scratch.notes;
            create domain scratch.subject as text; create domain scratch.tenant as scratch.subject;
            {tenant_table("scratch.notes", "scratch.tenant")}"""),
        Good(f"{IGNORES_CASE} alter table scratch.notes add name text collate scratch.ci, add unique (user_id, name)",
            needs=NO_ICU),
        Good("create table hidden.measurements (user_id float8)"),
    ],
    "tenant_column_nullable": [
        Bad("""
            alter table scratch.notes drop constraint notes_pkey, add unique (user_id, id);
            alter table scratch.notes alter user_id drop not null""",
            "scratch.notes.user_id", also="primary_key_missing"),
        Bad("""
            alter table scratch.notes drop constraint notes_pkey, alter user_id drop not null, add unique (user_id, id);
            alter table scratch.notes add constraint p not null user_id not valid""",
            "scratch.notes.user_id", also="primary_key_missing", needs=FROM_18),
        Good("alter table scratch.notes alter body drop not null"),
    ],
    "tenant_column_without_default": [
        Bad("alter table scratch.notes alter user_id drop default", "scratch.notes.user_id"),
        Bad("alter table scratch.notes alter user_id set default 'alice'", "scratch.notes.user_id"),
        Bad(f"""drop table scratch.notes; {tenant_table("scratch.notes", "bigint", "app.current_user_id()::bigint")}
            alter table scratch.notes
                alter user_id drop default, alter user_id add generated by default as identity""",
            "scratch.notes.user_id"),
        Bad(GENERATED, "scratch.notes.user_id"),
        Bad("alter table scratch.notes alter user_id set default current_setting('app.user_id', true)",
            "scratch.notes.user_id"),
        Bad("alter table scratch.notes alter user_id set default coalesce(app.current_user_id(), 'nobody')",
            "scratch.notes.user_id"),
        Bad("alter table scratch.notes alter user_id set default app.current_user_id()::varchar(3)",
            "scratch.notes.user_id"),
        Bad(f"""drop table scratch.notes; {tenant_table("scratch.notes", "uuid", "app.current_user_id()::uuid")}
            alter table scratch.notes alter user_id drop default""", "scratch.notes.user_id"),
        Good(f"{PARTITION_WITH_RLS} alter table scratch.events_a alter user_id drop default"),
        Good(f"drop table scratch.notes; {tenant_table('scratch.notes', 'varchar(255)')}"),
        Good(f"drop table scratch.notes; {tenant_table('scratch.notes', 'uuid', 'app.current_user_id()::uuid')}"),
        Good(f"""drop table scratch.notes;
            create domain scratch.subject as varchar(255) check (value <> '');
            {tenant_table("scratch.notes", "scratch.subject")}"""),
        Good("create table hidden.words (user_id text)"),
    ],
    "publication": [
        Bad("create publication p for table scratch.notes", "p of scratch.notes", advice=True),
        Bad("create publication p for table scratch.notes (body) where (body <> '')",
            "p of scratch.notes", advice=True),
        Bad("create publication p for all tables", "p of scratch.notes", times=None, advice=True),
        Bad("create publication p for tables in schema scratch", "p of scratch.notes", advice=True),
        Bad("create publication p for tables in schema app, table scratch.notes",
            "p of scratch.notes", times=None, advice=True),
        Bad(f"{PARTITION_WITH_RLS} create publication p for table scratch.events",
            "p of scratch.events_a", times=2, advice=True),
        Bad(f"""{PARTITIONED}
            alter table scratch.events_a set schema hidden;
            create publication p for table hidden.events_a""",
            "p of scratch.events", advice=True),
        Good("create table hidden.words (word text); create publication p for table hidden.words"),
        Good("create publication p for tables in schema hidden"),
        Bad("create publication p for table scratch.notes; alter publication p owner to app_owner",
            "p of scratch.notes"),
        Good("create publication p"),
    ],
    "rule_on_table": [
        Bad("create rule own as on delete to scratch.notes do instead nothing", "scratch.notes.own"),
        Bad("create rule p as on insert to scratch.notes do also delete from app.tasks", "scratch.notes.p"),
        Bad("alter table scratch.notes owner to postgres;"
            "create rule p as on insert to scratch.notes do also delete from app.tasks", "scratch.notes.p", ERROR),
        Bad("""
            create view scratch.v with (security_invoker = true) as select * from scratch.notes;
            create rule p as on insert to scratch.v do instead delete from scratch.notes;
            grant insert on scratch.v to app_api""", "scratch.v.p", ERROR),
        Bad("""
            create view public.v with (security_invoker = true) as select 1 as one;
            alter view public.v owner to readers;
            create rule p as on insert to public.v do instead delete from scratch.notes;
            grant insert on public.v to public""", "public.v.p", advice=True),
        Good("""
            create view scratch.v with (security_invoker = true) as select * from scratch.notes;
            create rule r as on delete to scratch.v do instead nothing;
            grant delete on scratch.v to app_api"""),
        Good("""
            create view scratch.v with (security_invoker = true) as select * from scratch.notes;
            create rule r as on delete to scratch.v do instead delete from app.tasks;
            grant delete on scratch.v to readers"""),
    ],
    "trigger_as_owner": [
        Bad(TRIGGER, "scratch.notes.t", advice=True),
        Bad(f"{TRIGGER} alter table scratch.notes disable trigger t", "scratch.notes.t", advice=True),
        Bad(f"{PARTITION_WITH_RLS} {TRIGGER.replace('scratch.notes', 'scratch.events')}", "scratch.events.t",
            advice=True),
        Good(f"{TRIGGER} alter function scratch.f() security invoker"),
        Good("create table hidden.words (word text);" + TRIGGER.replace("scratch.notes", "hidden.words")),
    ],
}
# fmt: on

test_a_bad_twin_is_reported_and_fixed, test_odd_names_are_quoted, test_a_good_twin_is_not_reported = parametrized(TWINS)
