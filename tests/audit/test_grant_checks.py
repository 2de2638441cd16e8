"""The checks of grants."""

from tests.support.twins import (
    DATABASE,
    ERROR,
    FROM_17,
    Bad,
    Good,
    Twins,
    parametrized,
    routine,
)

# fmt: off
# A twin is two or three lines.
TWINS: Twins = {
    "auditor_reads_tenants": [
        Bad("grant select on scratch.notes to app_auditor", "scratch.notes"),
        Bad("grant select (body) on scratch.notes to app_auditor", "scratch.notes"),
        Bad("grant readers to app_auditor; grant select on scratch.notes to readers", "readers"),
        Bad("create role middle in role readers; grant middle to app_auditor; grant select on scratch.notes to readers",
            "middle"),
        Bad("grant select on scratch.notes to public", "scratch.notes", also="grant_to_public"),
        Bad("grant app_owner to app_auditor", "app_owner"),
        Bad("grant readers to app_auditor; grant app_api to readers", "readers"),
        Bad("grant pg_read_all_data to app_auditor", "pg_read_all_data"),
        Bad("grant readers to app_auditor; alter role readers bypassrls", "readers"),
        Good("grant readers to app_auditor; grant usage on schema app to app_auditor"),
        Good("grant select on scratch.notes to readers"),
        Good("alter role app_auditor rename to nobody; grant select on scratch.notes to public",
            also="grant_to_public"),
        Good("create table hidden.numbers as select 1 as one; grant select on hidden.numbers to app_auditor"),
    ],
    "grant_beyond_rls": [
        Bad("grant truncate on scratch.notes to app_api", "scratch.notes to app_api: truncate", ERROR),
        Bad("grant truncate on scratch.notes to public", "scratch.notes to PUBLIC: truncate", ERROR),
        Bad("grant readers to app_api; grant truncate on scratch.notes to readers",
            "scratch.notes to readers: truncate", ERROR),
        Bad("grant trigger on scratch.notes to app_api", "scratch.notes to app_api: trigger", ERROR),
        Bad("grant references on scratch.notes to app_api", "scratch.notes to app_api: references"),
        Bad("grant references (body) on scratch.notes to app_api", "scratch.notes.body to app_api: references"),
        Bad("grant maintain on scratch.notes to app_api", "scratch.notes to app_api: maintain", needs=FROM_17),
        Bad("grant truncate on migrations.alembic_version to app_api",
            "migrations.alembic_version to app_api: truncate"),
        Bad("grant select on scratch.notes to app_api with grant option;"
            "set local role app_api; grant select on scratch.notes to readers; reset role",
            "scratch.notes to app_api: select"),
        Bad("grant update (body) on scratch.notes to app_api with grant option",
            "scratch.notes.body to app_api: update"),
        Bad(routine() + "grant execute on function scratch.f() to app_api with grant option",
            "scratch.f() to app_api: execute"),
        Bad("grant usage on schema app to app_api with grant option", "app to app_api: usage"),
        Bad("create sequence scratch.s; grant usage on sequence scratch.s to app_api with grant option",
            "scratch.s to app_api: usage"),
        Good("grant truncate, references, trigger on scratch.notes to readers"),
        Good("grant select on scratch.notes to readers with grant option"),
        Good("create temporary table mine (id int); grant all on mine to app_api with grant option"),
    ],
    "grant_create": [
        Bad("grant create on schema app to app_api", "schema app to app_api"),
        Bad("grant create on schema public to public", "schema public to PUBLIC"),
        Bad("grant readers to app_api; grant create on schema hidden to readers", "schema hidden to readers"),
        Bad(f"grant create on database {DATABASE} to app_api", f"database {DATABASE} to app_api"),
        Good("grant create on schema app to readers; grant usage on schema hidden to app_api"),
        Good(f"grant temporary on database {DATABASE} to app_api"),
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
        Good("alter default privileges for role app_owner in schema app grant select on tables to app_auditor"),
        Good("alter default privileges for role app_owner grant usage on types to app_api"),
        Good("alter default privileges for role app_api grant select on tables to readers"),
    ],
    "grant_protected_column": [
        Bad("grant insert (id) on scratch.notes to app_api", "scratch.notes.id"),
        Bad("grant update (user_id) on scratch.notes to app_api", "scratch.notes.user_id"),
        Bad("grant insert (created_at), update (created_at) on scratch.notes to public",
            "scratch.notes.created_at", also="grant_to_public"),
        Bad("grant insert, update on scratch.notes to app_api", "scratch.notes.id", times=3),
        Bad("grant readers to app_api; grant insert on scratch.notes to readers", "scratch.notes.user_id", times=3),
        Bad('alter table scratch.notes add "Seen, or Read-ed_at" timestamp;'
            'grant update ("Seen, or Read-ed_at") on scratch.notes to app_api', 'scratch.notes."Seen, or Read-ed_at"'),
        Good("alter table scratch.notes add remind_at timestamptz;"
            "grant update (remind_at) on scratch.notes to app_api"),
        Good("alter table scratch.notes add embed_at text; grant insert (embed_at) on scratch.notes to app_api"),
        Good("alter table scratch.notes add needed boolean; grant update (needed) on scratch.notes to app_api"),
        Good("grant select (id, user_id, created_at) on scratch.notes to app_api"),
        Good("grant update on scratch.notes to readers"),
    ],
    "grant_to_public": [
        Bad("grant select on scratch.notes to public", "scratch.notes: select", also="auditor_reads_tenants"),
        Bad("grant update (body) on scratch.notes to public", "scratch.notes.body: update"),
        Good("grant select on scratch.notes to readers"),
        Good("create view hidden.one as select 1 as one; grant select on hidden.one to public"),
        Good("grant references on scratch.notes to public", also="grant_beyond_rls"),
    ],
}
# fmt: on

test_a_bad_twin_is_reported_and_fixed, test_odd_names_are_quoted, test_a_good_twin_is_not_reported = parametrized(TWINS)
