"""The checks of functions: the one that returns the caller, and those that run with other rights than the caller's."""

from tests.support.twins import (
    ERROR,
    OWN,
    Bad,
    Good,
    Twins,
    parametrized,
    routine,
)


def context(
    body: str = "nullif(current_setting('app.user_id', true), '')", options: str = "stable parallel safe"
) -> str:
    return f"create or replace function app.current_user_id() returns text language sql {options} return {body}"


def setter(statement: str) -> str:
    return f"""create function scratch.f() returns trigger language plpgsql as
        $$ begin {statement} return new; end $$; revoke execute on function scratch.f() from public;
        create table hidden.words (word text);"""


SET_CONFIG = "pg_catalog.set_config('app.user_id', 'bob', true)"
INVOKER = "create function scratch.f() returns int language sql return 1;"
HIDDEN = routine("hidden.f()", owner="postgres") + "grant execute on function hidden.f() to app_api;"
OWNED_BY_READERS = routine(owner="readers") + "grant execute on function scratch.f() to app_api;"
FIRES = "create trigger t before insert or update on scratch.notes for each row execute function scratch.f();"
TRIGGER = f"""
    create table hidden.words (word text);
    create function scratch.f() returns trigger language plpgsql security definer set search_path = ''
        as 'begin return new; end';
    revoke execute on function scratch.f() from public;
    {FIRES}
"""
# The function of workspaces depends on it, and is not what is tried here.
WITHOUT_WORKSPACES = """
    drop table app.workspace_tasks, app.invitations, app.members, app.workspaces cascade;
    create or replace view audit.tenants ("column", type, function, arguments, setting) as values
        ('user_id'::name, 'text'::regtype, 'app.current_user_id()', null::text[], 'app.user_id');
"""
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
        Bad(WITHOUT_WORKSPACES + "drop function app.current_user_id() cascade;"
            "create function app.current_user_id() returns uuid language sql stable return gen_random_uuid()",
            "app.current_user_id()", ERROR, also=GONE),
        Bad(WITHOUT_WORKSPACES + "drop function app.current_user_id() cascade", "app.current_user_id()", also=GONE),
        Bad(WITHOUT_WORKSPACES + "create function app.current_user_id(text) returns text language sql stable return $1;"
            "drop function app.current_user_id() cascade", "app.current_user_id()", also=GONE),
        Bad(WITHOUT_WORKSPACES
            + "drop function app.current_user_id() cascade;" + context().replace("returns text", "returns varchar"),
            "app.current_user_id()", also=GONE),
        Bad(context(options="volatile"), "app.current_user_id()"),
        Bad(context(options="strict stable"), "app.current_user_id()"),
        Bad("alter function app.current_user_id() parallel unsafe", "app.current_user_id()"),
        Bad("alter function app.current_user_id() parallel restricted", "app.current_user_id()"),
        Bad("alter function app.current_user_id() set search_path = ''", "app.current_user_id()"),
        Bad("alter function app.current_user_id() security definer;"
            "alter table scratch.notes no force row level security", "app.current_user_id()",
            also="definer_function_search_path definer_function_bypasses_rls rls_not_forced"),
        Good(context()),
        Good(context(options="stable parallel safe cost 1")
            + "; comment on function app.current_user_id() is 'The caller.'"),
        Good("create function app.current_user_id(text) returns text language sql immutable return $1"),
    ],
    "definer_function_bypasses_rls": [
        # Every owner that policies do not hold back.
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
        Bad(OWNED_BY_READERS + "create policy p on scratch.notes for select to readers using (true)",
            "scratch.f()", ERROR, also="policy_for_other_role"),
        Bad(routine() + "grant execute on function scratch.f() to app_api;"
            "create policy p on scratch.notes for delete to app_owner using (body <> '')",
            "scratch.f()", ERROR, also="policy_for_other_role", times=None),
        Bad(OWNED_BY_READERS + """
            create role shown; grant shown to readers;
            create policy p on scratch.notes for insert to shown with check (true)""",
            "scratch.f()", ERROR, also="policy_for_other_role"),
        Bad(routine() + "grant execute on function scratch.f() to app_api;"
            "alter table scratch.notes no force row level security",
            "scratch.f()", ERROR, also="rls_not_forced", times=None),
        Bad(OWNED_BY_READERS + "grant app_owner to readers; alter table scratch.notes no force row level security",
            "scratch.f()", ERROR, also="rls_not_forced", times=None),
        Bad(OWNED_BY_READERS + "create role above bypassrls; grant above to readers", "scratch.f()"),
        # Every way of calling it.
        Bad(routine("hidden.f()", owner="postgres") + "grant execute on function hidden.f() to app_api", "hidden.f()"),
        Bad(routine("hidden.f()", owner="postgres") + "grant execute on function hidden.f() to public;"
            "grant usage on schema hidden to app_api", "hidden.f()", ERROR, also="definer_function_public",
            advice=True),
        Bad(HIDDEN + "create view scratch.v with (security_invoker = true) as select hidden.f();"
            "grant select on scratch.v to app_api", "hidden.f()", ERROR),
        Bad(HIDDEN + "create view scratch.v as select hidden.f()", "hidden.f()"),
        Bad(HIDDEN + "alter table scratch.notes add size int default hidden.f()", "hidden.f()", ERROR),
        Bad(HIDDEN + "alter table scratch.notes add check (hidden.f() > 0)", "hidden.f()", ERROR),
        Bad(HIDDEN + "create domain scratch.size as int check (hidden.f() > 0)", "hidden.f()", ERROR),
        Bad(HIDDEN + "create policy p on scratch.notes as restrictive for select to app_api using (hidden.f() > 0)",
            "hidden.f()", ERROR),
        Bad(routine("hidden.f(int, int)", owner="postgres")
            + "grant execute on function hidden.f(int, int) to app_api;"
            "create operator scratch.%% (leftarg = int, rightarg = int, function = hidden.f)",
            "hidden.f(integer,integer)", ERROR),
        Bad(routine("hidden.f(int)", owner="postgres") + """
            grant execute on function hidden.f(int) to app_api;
            create type scratch.size as (size int);
            create cast (int as scratch.size) with inout;
            create index by_body on scratch.notes (user_id, (length(body)));
            alter function hidden.f(int) immutable;
            create index by_size on scratch.notes (user_id, hidden.f(length(body)))""",
            "hidden.f(integer)", ERROR),
        # Every way of running it without EXECUTE.
        Bad(routine("scratch.f(int, int)", owner="postgres") + """
            create aggregate scratch.total(int) (sfunc = scratch.f, stype = int)""",
            "scratch.f(integer,integer)", ERROR),
        Bad(routine("hidden.f(int, int)", owner="postgres") + """
            create aggregate scratch.total(int) (sfunc = hidden.f, stype = int)""",
            "hidden.f(integer,integer)", ERROR, advice=True),
        Bad(TRIGGER, "scratch.f()", ERROR, also="trigger_as_owner"),
        Bad(TRIGGER.replace("scratch.f()", "hidden.f()"), "hidden.f()", ERROR, also="trigger_as_owner", advice=True),
        Bad(TRIGGER + "create view scratch.v with (security_invoker = true) as table scratch.notes;"
            "create trigger t instead of delete on scratch.v for each row execute function scratch.f();"
            "grant delete on scratch.v to app_api; drop trigger t on scratch.notes", "scratch.f()", ERROR),
        Bad("""
            create function hidden.f() returns event_trigger language plpgsql security definer set search_path = ''
                as 'begin end';
            revoke execute on function hidden.f() from public;
            create event trigger p on ddl_command_end execute function hidden.f()""",
            "hidden.f()", ERROR, advice=True),
        Bad(routine("hidden.f(int, int)", owner="postgres").replace("returns int", "returns float8") + """
            alter function hidden.f(int, int) immutable;
            create type scratch.span as range (subtype = int, subtype_diff = hidden.f)""",
            "hidden.f(integer,integer)", ERROR, advice=True),
        Bad(TRIGGER + "drop trigger t on scratch.notes; grant execute on function scratch.f() to app_api",
            "scratch.f()"),
        Good(routine() + "grant execute on function scratch.f() to app_api"),
        Good(routine(owner="postgres") + "grant execute on function scratch.f() to readers"),
        Good("create function scratch.f() returns text language sql return 'the caller''s own rights'"),
        Good(routine("pg_temp.f()", owner="postgres") + "grant execute on function pg_temp.f() to app_api"),
        Good(OWNED_BY_READERS + f"create policy p on scratch.notes for select to readers using ({OWN})"),
        Good(OWNED_BY_READERS + "create role above bypassrls"),
        Good(TRIGGER.replace("scratch.notes", "hidden.words")),
        Good(TRIGGER + "alter table scratch.notes disable trigger t", also="trigger_as_owner"),
        Good(routine("hidden.f()", owner="postgres") + "create view scratch.v as select hidden.f()"),
        Good(routine("hidden.f()", owner="postgres", path=False) + """
            grant execute on function hidden.f() to public;
            create table public.posts (user_id text not null default app.current_user_id() primary key);
            alter table public.posts enable row level security, force row level security;
            create policy p on public.posts as restrictive to readers using (hidden.f() > 0) with check (false)"""),
    ],
    "definer_function_public": [
        Bad(routine() + "grant execute on function scratch.f() to public", "scratch.f()"),
        Bad(routine("scratch.f(text[])") + "grant execute on function scratch.f to public", "scratch.f(text[])"),
        Bad(routine(kind="procedure") + "grant execute on procedure scratch.f() to public", "scratch.f()"),
        Bad("create function public.f() returns int language sql security definer set search_path = '' return 1",
            "public.f()", also="definer_function_bypasses_rls", advice=True),
        Bad(TRIGGER.replace("scratch.f()", "hidden.f()") + "alter function hidden.f() owner to readers;"
            "grant execute on function hidden.f() to public", "hidden.f()", also="trigger_as_owner"),
        Good(routine() + "grant execute on function scratch.f() to app_api, readers"),
        Good("create function scratch.f() returns text language sql return 'as the caller'"),
        Good(routine("pg_temp.f()") + "grant execute on function pg_temp.f() to public"),
    ],
    "definer_function_search_path": [
        Bad(routine(path=False), "scratch.f()"),
        Bad(routine(path=False) + "alter function scratch.f() set work_mem = '8MB'", "scratch.f()"),
        Bad(routine("scratch.f(int)", kind="procedure", path=False), "scratch.f(integer)"),
        Bad(routine("hidden.f()", path=False), "hidden.f()"),
        Bad(routine("public.f()", owner="readers", path=False), "public.f()", advice=True),
        Bad(routine() + "grant create on schema hidden to readers;"
            "alter function scratch.f() set search_path = pg_catalog, hidden", "scratch.f()"),
        Bad("""create schema "Odd, ""path" authorization readers;""" + routine()
            + """alter function scratch.f() set search_path = app, "Odd, ""path" """, "scratch.f()"),
        Good(routine() + "alter function scratch.f() set search_path = app, pg_temp"),
        Good("create procedure scratch.f() language sql as 'select'"),
        Good(routine(owner="readers") + "grant create on schema hidden to readers;"
            "alter function scratch.f() set search_path = hidden"),
        Good(routine() + "alter function scratch.f() set search_path = pg_catalog, public, missing, pg_temp"),
        Good(routine("pg_temp.f()", path=False)),
    ],
    "function_immutable": [
        Bad("create function scratch.f() returns text language sql immutable"
            " return current_setting('app.user_id', true)",
            "scratch.f()", ERROR),
        Bad("create function scratch.f() returns text language plpgsql immutable"
            " as 'begin return current_setting(''app.user_id''); end'", "scratch.f()", ERROR),
        Bad("create function scratch.f() returns text language sql immutable return app.current_user_id()",
            "scratch.f()", ERROR),
        Bad("create function scratch.f() returns text language sql immutable as 'select app.current_user_id()'",
            "scratch.f()", ERROR),
        Bad("create function scratch.f() returns bigint language sql immutable"
            " return (select count(*) from scratch.notes)",
            "scratch.f()", ERROR),
        Bad("alter function app.current_workspace_ids() immutable", "app.current_workspace_ids()", ERROR),
        Bad("create function public.f() returns uuid language sql immutable return app.requested_workspace_id()",
            "public.f()", ERROR, advice=True),
        Good("create function scratch.f() returns text language sql stable"
            " return current_setting('app.user_id', true)"),
        Good("create function scratch.f(body text) returns tsvector language sql immutable return to_tsvector(body)"),
        Good("create function hidden.f() returns text language sql immutable return app.current_user_id()"),
        Good("create function scratch.f(note scratch.notes) returns text language sql immutable return note.body"),
    ],
    "function_setting": [
        Bad(INVOKER + "alter function scratch.f() set app.user_id = 'bob'", "scratch.f(): app.user_id", ERROR),
        Bad(INVOKER + "alter function scratch.f() set \"APP\".\"User_Id\" = 'bob'", "scratch.f(): app.user_id", ERROR),
        Bad(INVOKER + "alter function scratch.f() set role = 'readers'", "scratch.f(): role"),
        Bad(INVOKER + "alter function scratch.f() set row_security = off", "scratch.f(): row_security"),
        Bad(INVOKER + "alter function scratch.f() set audit.explaining = 'on'", "scratch.f(): audit.explaining"),
        Bad(INVOKER + "grant create on schema hidden to readers; alter function scratch.f() set search_path = hidden",
            "scratch.f(): search_path"),
        Bad(INVOKER.replace("scratch.f()", "hidden.f()") + "revoke execute on function hidden.f() from public;"
            "alter function hidden.f() set app.user_id = 'bob'", "hidden.f(): app.user_id", advice=True),
        Bad(TRIGGER + "alter function scratch.f() owner to app_owner; alter function scratch.f() security invoker;"
            "alter function scratch.f() set app.user_id = 'bob'", "scratch.f(): app.user_id", ERROR),
        Good(INVOKER + "alter function scratch.f() set search_path = app, pg_temp;"
            "alter function scratch.f() set work_mem = '8MB'"),
        Good(INVOKER + "alter function scratch.f() set app.user_id_column = 'user_id'"),
    ],
    "function_sets_context": [
        Bad(setter("perform set_config('app.user_id', 'bob', true);") + FIRES, "scratch.f()", ERROR, advice=True),
        Bad(setter("set local app.user_id = 'bob';") + FIRES, "scratch.f()", ERROR, advice=True),
        Bad(setter("SET SESSION \"app\".\"user_id\" TO 'bob';") + FIRES, "scratch.f()", ERROR, advice=True),
        Bad(setter("perform pg_catalog.set_config ( concat('app', '.user_id'), new.body, true);") + FIRES,
            "scratch.f()", ERROR, advice=True),
        Bad(setter("perform set_config('app.' || 'user_id', new.body, true);") + FIRES,
            "scratch.f()", ERROR, advice=True),
        Bad(setter("perform set_config('role', 'readers', true);") + FIRES, "scratch.f()", ERROR, advice=True),
        Bad("create function scratch.f(text, text, boolean) returns text language internal as 'set_config_by_name';"
            "alter table scratch.notes alter body set default scratch.f('app.user_id', 'bob', true)",
            "scratch.f(text,text,boolean)", ERROR, advice=True),
        Bad(setter("set role readers;") + FIRES, "scratch.f()", ERROR, advice=True),
        Bad(setter("set local row_security = off;") + FIRES, "scratch.f()", ERROR, advice=True),
        Bad("create function hidden.f(text) returns text language sql volatile"
            " return pg_catalog.set_config('app.user_id', $1, true);"
            "alter table scratch.notes alter body set default hidden.f('bob')",
            "hidden.f(text)", ERROR, advice=True),
        Bad("create function scratch.f(text) returns text language sql as"
            " 'select set_config(''app.user_id'', $1, true)'; grant execute on function scratch.f to app_api",
            "scratch.f(text)", advice=True),
        Good(setter("perform set_config('app.reason', 'set by a trigger', true);") + FIRES),
        Good("create function scratch.f(text) returns text language sql"
            " return pg_catalog.set_config('app.role', $1, true);"
            "alter table scratch.notes alter body set default scratch.f('bob')"),
        Good(setter("new.body := 'the role, as set locally'; set local work_mem = '8MB';") + FIRES),
        Good(setter("set local app.user_id = 'bob';")),
    ],
    "expression_sets_context": [
        Bad(f"alter table scratch.notes alter body set default {SET_CONFIG}", "scratch.notes.body", ERROR, advice=True),
        Bad(f"create policy p on scratch.notes as restrictive for select to app_api using ({SET_CONFIG} = 'bob')",
            "scratch.notes.p", ERROR, advice=True),
        Bad(f"alter table scratch.notes add constraint p check (body <> {SET_CONFIG})",
            "scratch.notes.p", ERROR, advice=True),
        Bad(f"create domain scratch.v as text constraint p check ({SET_CONFIG} = 'bob')",
            "scratch.v.p", ERROR, advice=True),
        Bad(f"{FIRES.replace('for each row', f'for each row when ({SET_CONFIG} is null)')}".join(
                [setter("new.body := '';"), ""]), "scratch.notes.t", ERROR, advice=True),
        Bad(f"create view scratch.v as select {SET_CONFIG} as reply", "scratch.v", ERROR, advice=True),
        Good("alter table scratch.notes alter body set default 'set_config(''app.user_id'') :funcid 2078 '"),
        Good("create view scratch.v as select current_setting('app.user_id', true)"),
    ],
    "trigger_notifies": [
        Bad(setter("perform pg_notify('notes', row_to_json(new)::text);") + FIRES, "scratch.notes.t", advice=True),
        Bad(setter("execute format('notify notes, %L', old.body);") + FIRES, "scratch.notes.t", advice=True),
        Bad(setter("perform pg_notify('notes', row_to_json((table fresh limit 1))::text);")
            + "create trigger t after insert on scratch.notes referencing new table as fresh"
            " execute function scratch.f();",
            "scratch.notes.t", advice=True),
        Good(setter("notify notes;") + FIRES),
        Good(setter("perform pg_notify('notes', '');") + FIRES.replace("scratch.notes", "hidden.words")),
    ],
    "leakproof_function": [
        Bad("create function scratch.f(text) returns text language sql leakproof return $1", "scratch.f(text)"),
        Bad("create function hidden.f(text) returns text language sql leakproof return $1",
            "hidden.f(text)", advice=True),
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
