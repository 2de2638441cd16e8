"""The checks of functions: the one that returns the caller, and those that run with other rights than the caller's."""

from tests.support.twins import (
    ERROR,
    Bad,
    Good,
    Twins,
    parametrized,
    routine,
)


def context(body: str = "nullif(current_setting('app.user_id', true), '')", options: str = "stable") -> str:
    return f"create or replace function app.current_user_id() returns text language sql {options} return {body}"


# What depends on the function is dropped with it.
GONE = "policy_missing tenant_column_without_default"

# fmt: off
# A twin is two or three lines.
TWINS: Twins = {
    "context_function": [
        Bad(context(options="immutable"), "app.current_user_id()", ERROR),
        Bad(context("'alice'"), "app.current_user_id()", ERROR),
        Bad(context("coalesce(nullif(current_setting('app.user_id', true), ''), 'alice')"),
            "app.current_user_id()", ERROR),
        Bad(context("current_setting('app.user_id', true)"), "app.current_user_id()", ERROR),
        Bad("alter function app.current_user_id() set \"APP\".user_id = 'alice'", "app.current_user_id()", ERROR),
        Bad("drop function app.current_user_id() cascade;"
            "create function app.current_user_id() returns uuid language sql stable return gen_random_uuid()",
            "app.current_user_id()", ERROR, also=GONE),
        Bad("drop function app.current_user_id() cascade", "app.current_user_id()", also=GONE),
        Bad("create function app.current_user_id(text) returns text language sql stable return $1;"
            "drop function app.current_user_id() cascade", "app.current_user_id()", also=GONE),
        Bad("drop function app.current_user_id() cascade;" + context().replace("returns text", "returns varchar"),
            "app.current_user_id()", also=GONE),
        Bad(context(options="volatile"), "app.current_user_id()"),
        Bad(context(options="strict stable"), "app.current_user_id()"),
        Bad("alter function app.current_user_id() set search_path = ''", "app.current_user_id()"),
        Bad("alter function app.current_user_id() security definer",
            "app.current_user_id()", also="definer_function_search_path"),
        Good(context()),
        Good(context(options="stable cost 1") + "; comment on function app.current_user_id() is 'The caller.'"),
        Good("create function app.current_user_id(text) returns text language sql immutable return $1"),
    ],
    "definer_function_bypasses_rls": [
        Bad(routine(owner="postgres") + "grant execute on function scratch.f() to app_api", "scratch.f()", ERROR),
        Bad(routine(owner="postgres") + "grant execute on function scratch.f() to public",
            "scratch.f()", ERROR, also="definer_function_public"),
        Bad(routine("scratch.f(text, scratch.notes)", owner="postgres")
            + "grant readers to app_api; grant execute on function scratch.f to readers",
            "scratch.f(text,scratch.notes)", ERROR),
        Bad("alter role readers bypassrls; grant create on schema scratch to readers;"
            + routine(owner="readers")
            + "grant execute on function scratch.f() to app_api; revoke create on schema scratch from readers",
            "scratch.f()", ERROR),
        Bad(routine(owner="postgres", kind="procedure") + "grant execute on procedure scratch.f() to app_api",
            "scratch.f()", ERROR),
        Bad(routine("hidden.f()", owner="postgres") + "grant execute on function hidden.f() to app_api;"
            "grant create, usage on schema hidden to app_owner", "hidden.f()"),
        Good(routine() + "grant execute on function scratch.f() to app_api"),
        Good(routine(owner="postgres") + "grant execute on function scratch.f() to readers"),
        Good("create function scratch.f() returns text language sql return 'the caller''s own rights'"),
        Good(routine("pg_temp.f()", owner="postgres") + "grant execute on function pg_temp.f() to app_api"),
    ],
    "definer_function_public": [
        Bad(routine() + "grant execute on function scratch.f() to public", "scratch.f()"),
        Bad(routine("scratch.f(text[])") + "grant execute on function scratch.f to public", "scratch.f(text[])"),
        Bad(routine(kind="procedure") + "grant execute on procedure scratch.f() to public", "scratch.f()"),
        Bad("create function hidden.f() returns int language sql security definer set search_path = '' return 1",
            "hidden.f()", also="definer_function_bypasses_rls"),
        Good(routine() + "grant execute on function scratch.f() to app_api, readers"),
        Good("create function scratch.f() returns text language sql return 'as the caller'"),
        Good(routine("pg_temp.f()") + "grant execute on function pg_temp.f() to public"),
    ],
    "definer_function_search_path": [
        Bad(routine(path=False), "scratch.f()"),
        Bad(routine(path=False) + "alter function scratch.f() set work_mem = '8MB'", "scratch.f()"),
        Bad(routine("scratch.f(int)", kind="procedure", path=False), "scratch.f(integer)"),
        Good(routine() + "alter function scratch.f() set search_path = app, pg_temp"),
        Good("create procedure scratch.f() language sql as 'select'"),
        Good(routine("pg_temp.f()", path=False)),
    ],
    "leakproof_function": [
        Bad("create function scratch.f(text) returns text language sql leakproof return $1", "scratch.f(text)"),
        Good("create function scratch.f(text) returns text language sql return $1"),
        Good("""
            create extension pg_trgm with schema scratch;
            alter function scratch.similarity leakproof security definer;
            grant execute on function scratch.similarity to app_api with grant option;
            create table scratch.trigrams (body text);
            alter table scratch.trigrams disable row level security;
            grant all on scratch.trigrams to public;
            alter extension pg_trgm add table scratch.trigrams"""),
    ],
}
# fmt: on

test_a_bad_twin_is_reported_and_fixed, test_odd_names_are_quoted, test_a_good_twin_is_not_reported = parametrized(TWINS)
