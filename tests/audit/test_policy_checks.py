"""The checks of policies, and how they read a policy's parse tree."""

import psycopg
import pytest

from tests.support.twins import (
    ERROR,
    IGNORES_CASE,
    NO_ICU,
    OWN,
    Bad,
    Good,
    Twins,
    findings_of,
    parametrized,
    run,
    shared_table,
    tenant_table,
)


def policy(clause: str, kind: str = "using") -> str:
    return f"alter policy own on scratch.notes {kind} ({clause})"


EQUALS = """
    create function scratch.equals(text, text) returns boolean language sql immutable as 'select true';
    create operator public.= (leftarg = text, rightarg = text, function = scratch.equals);
"""
# A table of somebody else, which app_api may use.
OF_SOMEBODY_ELSE = f"""
    {tenant_table("hidden.posts")}
    drop policy own on hidden.posts;
    alter table hidden.posts owner to readers;
    revoke all on hidden.posts from app_api;
    grant usage on schema hidden to app_api;
"""

SHARED = shared_table("scratch.plans")


def asking(role: str, policy: str = "own", kind: str = "using") -> str:
    return f"alter policy {policy} on scratch.plans {kind} (workspace_id = app.current_workspace_id('{role}'))"


# A function that reads the table of the policy that calls it.
READS_NOTES = """
    create function scratch.f() returns text language sql stable parallel safe
        return (select n.user_id from scratch.notes as n limit 1);
"""
READS_BY_TEXT = """
    create function scratch.f() returns text language plpgsql stable parallel safe
        as 'begin return (select user_id from scratch.notes limit 1); end';
"""
DEFINER = (
    "alter function scratch.f() owner to app_owner; alter function scratch.f() security definer set search_path=''"
)
IN_NOTES = "user_id = app.current_user_id() and id in (select id from scratch.notes)"
IN_LISTS = IN_NOTES.replace("notes", "lists")
CYCLE = f"{tenant_table('scratch.lists')} alter policy own on scratch.lists using ({IN_NOTES});"

# fmt: off
# A twin is two or three lines.
TWINS: Twins = {
    "policy_always_true": [
        Bad(policy("true"), "scratch.notes.own", ERROR),
        Bad(OF_SOMEBODY_ELSE + "create policy p on hidden.posts for select to app_api using (true)",
            "hidden.posts.p", ERROR, advice=True),
        Bad(policy("true", "with check"), "scratch.notes.own", ERROR),
        Bad(policy("app.current_user_id() is not null"), "scratch.notes.own", ERROR),
        Bad(policy("app.current_user_id() = 'admin'"), "scratch.notes.own", ERROR),
        Bad("create policy p on scratch.notes for insert to app_api with check (true)",
            "scratch.notes.p", ERROR, also="policy_multiple_permissive"),
        Bad(f"create policy p on scratch.notes for update to app_api using ({OWN}) with check (true)",
            "scratch.notes.p", ERROR, also="policy_multiple_permissive"),
        Bad("grant readers to app_api; create policy p on scratch.notes to readers using (1 = 1)",
            "scratch.notes.p", ERROR, also="policy_multiple_permissive policy_without_check"),
        Bad("grant readers to app_api; alter role app_api noinherit; "
            "create policy p on scratch.notes to readers using (true)",
            "scratch.notes.p", ERROR, also="policy_multiple_permissive policy_without_check"),
        Bad("""
            create table scratch.colours (id int primary key);
            alter table scratch.colours enable row level security, force row level security;
            grant select on scratch.colours to app_api;
            create policy p on scratch.colours for select to app_api using (true)""",
            "scratch.colours.p", ERROR, leaves="policy_missing", also="tenant_column_missing"),
        Good(policy("false", "with check")),
        Good(policy("null", "with check")),
        Good("create policy p on scratch.notes as restrictive to app_api using (true) with check (true)"),
        Good("create policy p on scratch.notes as restrictive to app_api using (now() > '2000-1-1') with check (null)"),
    ],
    "policy_for_other_role": [
        Bad("create policy p on scratch.notes for select to readers using (true)", "scratch.notes.p"),
        Bad(f"create policy p on scratch.notes to readers using ({OWN}) with check (body <> '')", "scratch.notes.p"),
        Bad("create policy p on scratch.notes for select to app_owner, readers using (id is not null)",
            "scratch.notes.p"),
        Good(f"create policy p on scratch.notes to readers using ({OWN}) with check ({OWN})"),
        Good("create policy p on scratch.notes for select to app_owner using (false)"),
        Good("create policy p on scratch.notes as restrictive for select to readers using (body <> '')"),
        Good("""
            create table hidden.drafts (body text);
            alter table hidden.drafts enable row level security;
            create policy p on hidden.drafts to readers using (true) with check (true)"""),
    ],
    "policy_for_public": [
        Bad("alter policy own on scratch.notes to public", "scratch.notes.own"),
        Bad(f"drop policy own on scratch.notes; create policy p on scratch.notes using ({OWN}) with check ({OWN})",
            "scratch.notes.p"),
        Good("create policy p on scratch.notes as restrictive using (due_at is null) with check (true)"),
        Good("alter policy own on scratch.notes to app_api, readers"),
    ],
    "policy_missing": [
        Bad("drop policy own on scratch.notes", "scratch.notes select", times=4),
        Bad("drop policy own on scratch.notes", "scratch.notes update", times=4),
        Bad("drop policy own on scratch.notes; grant insert (body) on scratch.notes to public",
            "scratch.notes insert", also="grant_to_public", times=4),
        Bad("alter policy own on scratch.notes to readers", "scratch.notes delete", times=4),
        Bad(f"""
            drop policy own on scratch.notes;
            create policy own on scratch.notes as restrictive to app_api using ({OWN})""",
            "scratch.notes delete", also="policy_without_check", times=4),
        Bad(f"drop table scratch.notes; {tenant_table('scratch.notes', 'uuid', 'app.current_user_id()::uuid')}"
            "drop policy own on scratch.notes", "scratch.notes update", times=4),
        Bad("""
            create table scratch.colours (id int primary key);
            alter table scratch.colours enable row level security, force row level security;
            grant select on scratch.colours to app_api""", "scratch.colours select", also="tenant_column_missing"),
        Good(
            "revoke delete on scratch.notes from app_api; grant delete on scratch.notes to readers;"
            "drop policy own on scratch.notes;"
            f"create policy s on scratch.notes for select to app_api using ({OWN});"
            f"create policy a on scratch.notes for insert to app_api with check ({OWN});"
            f"create policy w on scratch.notes for update to app_api using ({OWN}) with check ({OWN})"),
        Good("grant readers to app_api; alter policy own on scratch.notes to readers"),
    ],
    "policy_multiple_permissive": [
        Bad(f"create policy p on scratch.notes to app_api using ({OWN}) with check ({OWN})", "scratch.notes.p"),
        Bad(f"create policy p on scratch.notes for select to app_api using ({OWN} and due_at is null)",
            "scratch.notes.p"),
        Bad(f"create policy p on scratch.notes for delete to public using ({OWN})",
            "scratch.notes.p", also="policy_for_public"),
        Bad(f"""
            drop policy own on scratch.notes;
            create policy own on scratch.notes for select to app_api using ({OWN});
            create policy p on scratch.notes to app_api using ({OWN}) with check ({OWN})""",
            "scratch.notes.p", advice=True),
        Bad(f"grant readers to app_api; create policy p on scratch.notes for insert to readers with check ({OWN})",
            "scratch.notes.p"),
        Good(f"""
            drop policy own on scratch.notes;
            create policy s on scratch.notes for select to app_api using ({OWN});
            create policy a on scratch.notes for insert to app_api with check ({OWN});
            create policy w on scratch.notes for update to app_api using ({OWN}) with check ({OWN});
            create policy d on scratch.notes for delete to app_api using ({OWN})"""),
        Good(f"create policy p on scratch.notes to readers using ({OWN}) with check ({OWN})"),
        Good("create policy p on scratch.notes as restrictive for delete to app_api using (due_at is null)"),
    ],
    "policy_recurses": [
        Bad(policy("user_id = (select n.user_id from scratch.notes as n limit 1)"), "scratch.notes.own",
            also="policy_with_subselect policy_without_tenant"),
        Bad(policy(IN_NOTES), "scratch.notes.own", also="policy_with_subselect",
            fix=policy(OWN)),
        Bad(CYCLE + policy(IN_LISTS), "scratch.notes.own",
            also="policy_with_subselect", times=2,
            fix=f"{policy(OWN)}; alter policy own on scratch.lists using ({OWN})"),
        Bad(READS_NOTES + policy(f"{OWN} and scratch.f() = 'x'"), "scratch.notes.own", advice=True),
        Bad(READS_BY_TEXT + policy(f"{OWN} and scratch.f() = 'x'"), "scratch.notes.own", advice=True),
        Bad(READS_NOTES + "create function scratch.g() returns text language sql stable return scratch.f();"
            + policy(f"{OWN} and scratch.g() = 'x'"), "scratch.notes.own", advice=True),
        Bad("create policy p on scratch.notes as restrictive for select to app_api"
            " using (exists (select from scratch.notes))", "scratch.notes.p", also="policy_with_subselect",
            fix="drop policy p on scratch.notes"),
        Bad("create policy p on scratch.notes for select to readers using (id in (select id from scratch.notes))",
            "scratch.notes.p", also="policy_for_other_role policy_with_subselect"),
        Good(CYCLE, also="policy_with_subselect"),
        Good(READS_NOTES + DEFINER + ";" + policy(f"{OWN} and scratch.f() = 'x'"), also="definer_function_public"),
        Good(READS_BY_TEXT.replace("notes", "noted") + policy(f"{OWN} and scratch.f() = 'x'")),
        # The policies of SELECT are what a sub-select in another one meets.
        Good(f"""
            drop policy own on scratch.notes; revoke insert (body, due_at), delete on scratch.notes from app_api;
            create policy s on scratch.notes for select to app_api using ({OWN});
            create policy w on scratch.notes for update to app_api using ({IN_NOTES})
                with check ({OWN})""", also="policy_with_subselect"),
        Good("create policy p on scratch.notes for select to postgres using (id in (select id from scratch.notes))",
            also="policy_for_other_role policy_with_subselect"),
    ],
    "policy_with_unknown_argument": [
        Bad(SHARED + asking("admin"), "scratch.plans.own"),
        Bad(SHARED + asking("Owner", kind="with check"), "scratch.plans.own"),
        Bad(SHARED + asking(""), "scratch.plans.own"),
        Bad(SHARED + asking("ingénieur {(", "adding", "with check"), "scratch.plans.adding"),
        Bad(SHARED + "alter policy own on scratch.plans using (workspace_id = app.current_workspace_id('editor')"
            " and (body = '' or app.current_workspace_id('admin') is not null))", "scratch.plans.own",
            fix=asking("editor")),
        Bad(SHARED + "alter table scratch.plans alter workspace_id set default app.current_workspace_id('member')",
            "scratch.plans.workspace_id"),
        Good(SHARED + "alter policy removing on scratch.plans using (workspace_id = app.current_workspace_id('editor')"
            " and body = 'admin')"),
        Good(SHARED + asking("owner") + ";" + asking("viewer", kind="with check")),
    ],
    "policy_writes_unread": [
        Bad(SHARED + asking("owner", "p"), "scratch.plans.own"),
        Bad(SHARED + asking("viewer", "removing") + ";" + asking("editor", "p"), "scratch.plans.removing"),
        Bad(SHARED + asking("owner", "p") + ";" + "alter policy own on scratch.plans using ("
            "workspace_id = app.current_workspace_id('editor') and body <> 'owner')", "scratch.plans.own",
            fix=asking("owner")),
        Good(SHARED + asking("editor", "p")),
        Good(SHARED + asking("viewer")),
        Good(SHARED + asking("owner", "p") + ";" + "alter policy own on scratch.plans using ("
            "workspace_id = app.current_workspace_id('editor') and workspace_id = app.current_workspace_id('owner'))"),
        Good(SHARED + asking("owner", "p") + ";" + asking("owner") + "; create policy r on scratch.plans as restrictive"
            " for delete to app_api using (workspace_id = app.current_workspace_id('viewer'))"),
    ],
    "policy_with_function_per_row": [
        Bad(policy(f"{OWN} and lower(body) <> 'x'"), "scratch.notes.own", fix=policy(OWN)),
        Bad(policy(f"{OWN} and lower(body) <> 'x'", "with check"), "scratch.notes.own", fix=policy(OWN, "with check")),
        Bad("create function scratch.f(text) returns boolean language sql return true;"
            + policy(f"{OWN} and scratch.f(body)"),
            "scratch.notes.own", fix=policy(OWN)),
        Bad(EQUALS + policy(f"{OWN} and body operator(public.=) 'x'"), "scratch.notes.own", fix=policy(OWN)),
        Bad(EQUALS + policy(f"{OWN} and body operator(public.=) any (array['x'])"), "scratch.notes.own",
            fix=policy(OWN)),
        Bad(f"drop table scratch.notes; {tenant_table('scratch.notes', 'uuid', 'app.current_user_id()::uuid')}"
            + policy("user_id::text = app.current_user_id()"), "scratch.notes.own"),
        Bad("create policy p on scratch.notes as restrictive to app_api"
            " using (upper(user_id) <> 'ROOT') with check (true)",
            "scratch.notes.p", fix="alter policy p on scratch.notes using (user_id <> 'ROOT')"),
        Good(policy(f"{OWN} and body <> 'x' and due_at is null and body like 'y%'")),
        Good(policy(f"{OWN} and body <> lower(app.current_user_id())")),
        Good(f"drop table scratch.notes; {tenant_table('scratch.notes', 'varchar(100)')}"),
        Good(f"drop table scratch.notes; {tenant_table('scratch.notes', 'uuid', 'app.current_user_id()::uuid')}"),
        Good(f"drop table scratch.notes; {tenant_table('scratch.notes', 'bigint', 'app.current_user_id()::bigint')}"),
    ],
    "policy_with_subselect": [
        Bad(policy("user_id = (select app.current_user_id())"), "scratch.notes.own"),
        Bad(policy("user_id = (select app.current_user_id())", "with check"), "scratch.notes.own"),
        Bad(policy(f"{OWN} and exists (select from app.tasks)"), "scratch.notes.own", fix=policy(OWN)),
        Bad(policy("user_id = app.current_user_id() and body in (select text from app.tasks)", "with check"),
            "scratch.notes.own", fix=policy(OWN, "with check")),
        Good(policy(f"{OWN} and body <> '(select 1) {{SUBLINK :subLinkType 4}} <> \\ ('")),
    ],
    "policy_without_check": [
        Bad("drop policy own on scratch.notes;"
            f"create policy own on scratch.notes to app_api using ({OWN} and due_at is null)",
            "scratch.notes.own"),
        Bad("drop policy own on scratch.notes; create policy own on scratch.notes to app_api using (true)",
            "scratch.notes.own", also="policy_always_true"),
        Bad("create policy p on scratch.notes for insert to app_api", "scratch.notes.p",
            also="policy_multiple_permissive"),
        Bad(f"create policy p on scratch.notes for update to app_api using ({OWN})", "scratch.notes.p",
            also="policy_multiple_permissive"),
        Bad(f"create policy p on scratch.notes as restrictive to app_api using ({OWN})", "scratch.notes.p"),
        Bad("create policy p on scratch.notes as restrictive for insert to app_api", "scratch.notes.p"),
        Bad(OF_SOMEBODY_ELSE + "create policy p on hidden.posts to app_api using (true)", "hidden.posts.p",
            also="policy_always_true", advice=True),
        Good(policy(OWN, "with check")),
        Good(f"create policy p on scratch.notes as restrictive for select to app_api using ({OWN})"),
        Good("create policy p on scratch.notes as restrictive for delete to app_api using (due_at is null)"),
    ],
    "policy_without_tenant": [
        Bad(policy(f"{OWN} or true"), "scratch.notes.own", ERROR),
        Bad(policy(f"{OWN} or true", "with check"), "scratch.notes.own", ERROR),
        Bad(EQUALS + policy("user_id operator(public.=) app.current_user_id()"),
            "scratch.notes.own", ERROR, also="policy_with_function_per_row"),
        Bad(IGNORES_CASE + policy(f"{OWN} collate scratch.ci"), "scratch.notes.own", ERROR, needs=NO_ICU),
        Bad("create policy p on scratch.notes for delete to app_api using (body <> '')",
            "scratch.notes.p", ERROR, also="policy_multiple_permissive"),
        Bad("create policy p on scratch.notes for insert to app_api with check (body <> '')",
            "scratch.notes.p", ERROR, also="policy_multiple_permissive"),
        Bad(f"create policy p on scratch.notes for update to app_api using ({OWN}) with check (body <> '')",
            "scratch.notes.p", ERROR, also="policy_multiple_permissive"),
        Bad("""
            create role middle in role readers; grant middle to app_api;
            create policy p on scratch.notes to readers using (body <> '')""",
            "scratch.notes.p", ERROR, also="policy_multiple_permissive policy_without_check"),
        Bad("create policy p on scratch.notes using (body <> '')",
            "scratch.notes.p", ERROR, also="policy_for_public policy_multiple_permissive policy_without_check"),
        Good(policy("app.current_user_id() = user_id")),
        Good(policy(f"({OWN} and not body = 'x')")),
        Good(policy(f"due_at is null and (body <> 'x' and ({OWN} and body <> 'y'))")),
        Good(policy("user_id = app.current_user_id()::varchar")),
        Good("create domain scratch.subject as text;" + policy("user_id = app.current_user_id()::scratch.subject")),
        Good(policy(f'{OWN} collate "C"')),
        Good(f"""drop table scratch.notes;
            create domain scratch.subject as text;
            {tenant_table("scratch.notes", "scratch.subject")}
            {tenant_table("scratch.lists", "varchar")}"""),
        Good("alter table scratch.notes drop due_at"),
        Good("create policy p on scratch.notes as restrictive to app_api using (body <> '') with check (body <> '')"),
        Good(policy("(body = any (array['{(', '),', '<>', '\\}'])) is not null and user_id = app.current_user_id()")),
        Good(IGNORES_CASE + policy(f"{OWN} and body = app.current_user_id() collate scratch.ci"), needs=NO_ICU),
    ],
}
# fmt: on

test_a_bad_twin_is_reported_and_fixed, test_odd_names_are_quoted, test_a_good_twin_is_not_reported = parametrized(TWINS)


# Expressions that resemble the comparison, or contain it, and let other tenants in, or cannot be shown not to.
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
    "app.current_user_id() = (select n.user_id from scratch.notes as n limit 1)",
    "app.current_user_id() = (select user_id)",
    "exists (select from app.tasks as t where t.user_id = app.current_user_id())",
    "app.current_user_id() in (select user_id from app.tasks)",
    f"body = '{{OPEXPR :opno 98 ({OWN})' or body = 'user_id = app.current_user_id()'",
]

# Sub-selects whose names look like pieces of parse trees: the reader of the trees must survive them.
NAMES = (":args", "a :opno 98", "{OPEXPR", ")", "}", "\\", "<>", "b\rc\nd\te", "1 [ 0 ]", ' "', "{}")


def keys(connection: psycopg.Connection, name: str, clause: str) -> list[str]:
    """Return the keys of what a check says about a policy with `clause` in USING and in WITH CHECK."""
    run(connection, f"alter policy own on scratch.notes using ({clause}) with check ({clause})")
    return sorted(finding.key for finding in findings_of(connection, name))


@pytest.mark.parametrize("clause", NEARLY)
def test_a_clause_that_only_looks_like_the_comparison_is_an_error(scratch: psycopg.Connection, clause: str) -> None:
    named = ["policy_without_tenant:scratch.notes.own", "policy_without_tenant:scratch.notes.own:check"]
    assert keys(scratch, "policy_without_tenant", clause) == named


@pytest.mark.parametrize("name", NAMES)
def test_names_that_look_like_pieces_of_a_parse_tree_are_read_as_names(scratch: psycopg.Connection, name: str) -> None:
    quoted = '"{}"'.format(name.replace('"', '""'))
    columns = ", ".join([quoted, *(f"c{number}" for number in range(7))])
    clause = "body in (select '' as NAME from app.tasks as NAME (COLUMNS))"
    clause = clause.replace("NAME", quoted).replace("COLUMNS", columns)

    named = ["policy_with_subselect:scratch.notes.own", "policy_with_subselect:scratch.notes.own:check"]
    assert keys(scratch, "policy_with_subselect", f"{OWN} and {clause}") == named
    assert findings_of(scratch, "policy_without_tenant") == set()
    assert len(keys(scratch, "policy_without_tenant", clause)) == 2
