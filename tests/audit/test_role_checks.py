"""The checks of roles and their settings."""

import psycopg
from psycopg.conninfo import make_conninfo
from pytest_postgresql.executors import NoopExecutor

from tests.support.twins import (
    DATABASE,
    ERROR,
    Bad,
    Good,
    Twins,
    findings,
    parametrized,
    routine,
    run,
)

LOGINS = ("app_api", "app_migrator", "app_auditor")
OWN_PATHS = ";".join(f"alter role {login} set search_path = ''" for login in LOGINS)
NO_PATHS = ";".join(f"alter role {login} reset search_path" for login in LOGINS)


# fmt: off
# A twin is two or three lines.
TWINS: Twins = {
    "role_login": [
        Bad("alter role app_owner login", "app_owner"),
        Good("alter role app_owner password null; grant app_owner to readers; alter role readers login"),
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
        Bad("grant readers to app_api; alter table scratch.notes owner to readers", "readers", ERROR),
        Bad("grant postgres to app_api", "postgres", ERROR),
        Bad("grant pg_write_server_files to app_api", "pg_write_server_files", ERROR),
        Bad("grant readers to app_api; grant pg_read_all_data to readers", "pg_read_all_data", ERROR),
        Bad("grant pg_monitor to app_api", "pg_monitor", times=4),
        Good("grant readers to app_api"),
        Good("create role middle noinherit in role readers; grant middle to app_api"),
        Good("grant app_api to readers; grant app_owner to readers"),
    ],
    "context_forgeable": [
        Bad("grant execute on function set_config(text, text, boolean) to public", "set_config()"),
        Bad("grant execute on function set_config(text, text, boolean) to app_api", "set_config()"),
        Bad("grant readers to app_api; grant execute on function set_config(text, text, boolean) to readers",
            "set_config()"),
        Bad("grant usage on language plpgsql to public", "language plpgsql"),
        Bad("grant usage on language plpgsql to app_api", "language plpgsql"),
        Bad("create trusted language plx handler pg_catalog.plpgsql_call_handler"
            " inline pg_catalog.plpgsql_inline_handler", "language plx"),
        # As in a new database, where nobody has taken them away.
        Bad("update pg_proc set proacl = null where oid = 'set_config(text, text, boolean)'::regprocedure",
            "set_config()", "info", advice=True),
        Bad("update pg_language set lanacl = null where lanname = 'plpgsql'", "language plpgsql", "info", advice=True),
        Good("grant execute on function set_config(text, text, boolean) to readers"),
        Good("grant usage on language plpgsql to readers"),
    ],
    "role_missing": [
        Bad("alter role app_api rename to app_api_before", "app_api", ERROR),
        Good("create role app_api_2 login"),
    ],
    "role_owns": [
        Bad("alter table scratch.notes owner to app_api", "table scratch.notes", ERROR),
        Bad("alter schema hidden owner to app_api", "schema hidden", ERROR),
        Bad(routine("scratch.f(text)", owner="app_api"), "function scratch.f(pg_catalog.text)", ERROR),
        Bad("create sequence scratch.s; alter sequence scratch.s owner to app_api", "sequence scratch.s", ERROR),
        Bad("create type scratch.mood as enum (); alter type scratch.mood owner to app_api",
            "type scratch.mood", ERROR),
        Bad(f"alter database {DATABASE} owner to app_api", f"database {DATABASE}", ERROR),
        Bad("create view hidden.v as select * from scratch.notes; alter view hidden.v owner to app_api",
            "view hidden.v", ERROR, also="view_definer"),
        Bad("""
            create domain scratch.d as text; alter domain scratch.d owner to app_api;
            create procedure scratch.p() language sql as 'select'; alter procedure scratch.p() owner to app_api;
            create aggregate scratch.a(int) (sfunc = int4pl, stype = int);
            alter aggregate scratch.a(int) owner to app_api;
            create operator scratch.%% (leftarg = int, rightarg = int, function = int4pl);
            alter operator scratch.%% (int, int) owner to app_api;
            create type scratch.c as (size int); alter type scratch.c owner to app_api;
            create statistics scratch.s on user_id, body from scratch.notes;
            alter statistics scratch.s owner to app_api;
            create text search dictionary scratch.t (template = simple);
            alter text search dictionary scratch.t owner to app_api;
            create materialized view scratch.m as select 1; alter materialized view scratch.m owner to app_api;
            create collation scratch.l from "C"; alter collation scratch.l owner to app_api;
            create publication p; alter publication p owner to app_api;
            select lo_create(42); alter large object 42 owner to app_api""", "type scratch.d", ERROR, times=11),
        Good("set local role app_api; create temporary table mine (id serial primary key, body text);"
            "create function pg_temp.f() returns int language sql return 1; reset role"),
        Good("create table hidden.words (word text); alter table hidden.words owner to readers"),
    ],
    "role_attribute": [
        Bad("alter role app_api superuser", "app_api SUPERUSER", ERROR),
        Bad("alter role app_api bypassrls", "app_api BYPASSRLS", ERROR),
        Bad("alter role app_api createrole", "app_api CREATEROLE", ERROR),
        Bad("alter role app_api replication", "app_api REPLICATION", ERROR),
        Bad("alter role app_api createdb", "app_api CREATEDB"),
        Bad("alter role app_owner superuser", "app_owner SUPERUSER", also="definer_function_bypasses_rls"),
        Bad("alter role app_owner bypassrls", "app_owner BYPASSRLS", also="definer_function_bypasses_rls"),
        Bad("alter role app_migrator bypassrls", "app_migrator BYPASSRLS"),
        Bad("alter role app_auditor createrole", "app_auditor CREATEROLE"),
        Good("alter role readers superuser createdb; alter role app_migrator createdb createrole"),
        Good("alter role app_api noinherit connection limit 10"),
    ],
    "database_owner": [
        Bad(f"alter database {DATABASE} owner to readers", f"database {DATABASE}", advice=True),
        Bad(f"alter database {DATABASE} owner to app_auditor", f"database {DATABASE}"),
        Bad(f"alter database {DATABASE} owner to readers; grant readers to app_api", f"database {DATABASE}",
            also="role_membership", advice=True),
        Bad(f"alter database {DATABASE} owner to readers; create role deployer login createrole in role readers;"
            "create role intern login in role readers", f"database {DATABASE}", advice=True),
        Good(f"alter database {DATABASE} owner to app_owner"),
        Good(f"alter database {DATABASE} owner to app_migrator"),
        Good(f"alter database {DATABASE} owner to readers; grant app_owner to readers"),
        Good(f"alter database {DATABASE} owner to readers; alter role readers createrole"),
        Good(f"alter database {DATABASE} owner to readers; create role deployer login createrole in role readers"),
        Good(f"alter database {DATABASE} owner to app_api", also="role_owns"),
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
        Bad("alter role app_api set search_path = app", "search_path on role app_api"),
        Bad("alter role app_api set search_path = app, public", "search_path on role app_api"),
        Bad("alter role app_api set search_path = hidden, pg_catalog", "search_path on role app_api"),
        Bad("create schema evil authorization readers; alter role app_api set search_path = app, evil",
            "search_path on role app_api"),
        Bad("alter role app_migrator set search_path = app", "search_path on role app_migrator"),
        Bad("alter role app_owner set search_path = app", "search_path on role app_owner"),
        Bad("alter role app_auditor set search_path = app", "search_path on role app_auditor"),
        Bad(f"alter role app_api in database {DATABASE} set search_path = app",
            f"search_path on role app_api in database {DATABASE}"),
        Bad(f"alter database {DATABASE} set search_path = app; {NO_PATHS}", f"search_path on database {DATABASE}",
            advice=True),
        Bad(f"alter role all set search_path = app; {OWN_PATHS}", "search_path on role all", "info", advice=True),
        Bad("alter role app_api set session_preload_libraries = 'auto_explain'",
            "session_preload_libraries on role app_api"),
        Bad("alter role all set standard_conforming_strings = off", "standard_conforming_strings on role all"),
        Bad("alter role app_api set lo_compat_privileges = on", "lo_compat_privileges on role app_api"),
        Good("alter role app_api set search_path = ''; alter role app_migrator set search_path to ''"),
        Good("alter role readers set search_path = app, public;"
            "alter role readers set session_preload_libraries = 'auto_explain'"),
        Good("alter role all set default_transaction_read_only = off; alter role app_api set enable_seqscan = off"),
        Good("alter role app_api set statement_timeout = '5s'; alter role all set work_mem = '8MB'"),
        Good("alter role app_api set timezone = 'UTC'"),
        Good("alter role app_api set app.user_id_column = 'user_id'"),
        Good("alter role app_api in database postgres set app.user_id = 'alice'"),
    ],
}
# fmt: on

test_a_bad_twin_is_reported_and_fixed, test_odd_names_are_quoted, test_a_good_twin_is_not_reported = parametrized(TWINS)


def test_what_somebody_owns_in_another_database_is_not_reported(
    scratch: psycopg.Connection, migrated: NoopExecutor
) -> None:
    info = scratch.info
    elsewhere = make_conninfo(info.dsn, dbname=migrated.maintenance_dbname, password=info.password)
    with psycopg.connect(elsewhere, autocommit=True) as other:
        try:
            run(other, "create schema of_the_api authorization app_api")
            run(other, "create schema of_the_auditor authorization app_auditor")
            run(scratch, "grant app_auditor to app_api")
            assert findings(scratch) == []
        finally:
            scratch.rollback()
            run(other, "drop schema if exists of_the_api, of_the_auditor")
