"""What people read in schema audit: who may do what in words, who may read it, and which version it is."""

import asyncio
from collections.abc import Iterator
from typing import LiteralString

import asyncpg
import psycopg
import pytest
from psycopg import errors, sql

from db.audit import CHECKS, EDITED, Finding, find
from tests.support.database import Url, alembic

OWN = "(user_id = app.current_user_id())"
EXPLAINING = (
    "((current_setting('audit.explaining'::text, true) = 'on'::text)"
    " AND pg_has_role(SESSION_USER, 'app_owner'::name, 'member'::text))"
)
ODD = '"My App"."Odd ""Table"""'
ODD_TABLE = f"""
    create schema "My App" authorization app_owner;
    grant usage on schema "My App" to app_api;
    create table {ODD} (
        user_id varchar(99) not null, id uuid, "a) column" text, closed_at timestamp, primary key (user_id, id)
    );
    alter table {ODD} owner to app_owner;
    alter table {ODD} enable row level security, force row level security;
    create policy "for: (all)" on {ODD} to app_api using (user_id = app.current_user_id()) with check (false);
    grant select, update ("a) column") on {ODD} to app_api;
    grant select (id) on {ODD} to public;
"""
PATH = 'search_path=""'
LIMITS = ["TimeZone=UTC", "idle_in_transaction_session_timeout=10s", "lock_timeout=2s", PATH, "statement_timeout=10s"]
SCRATCH: LiteralString = "create schema scratch; grant usage on schema scratch to app_api;"


@pytest.fixture
def dba(admin: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A superuser who changes roles too: in one transaction that is rolled back."""
    yield admin
    admin.rollback()


def rules(connection: psycopg.Connection, table: LiteralString = "app.tasks", role: str = "app_api") -> list[str]:
    query = 'select rule from audit.policies where "table" = %s::regclass and role = %s::regrole'
    return [rule for (rule,) in connection.execute(query, [table, role])]


# ---- who may do what, in words -----------------------------------------------------------------------


def test_the_rules_of_tasks_in_words(dba: psycopg.Connection) -> None:
    assert rules(dba) == [
        f"app_api may select the caller's own rows: {OWN}",
        f'app_api may insert (only text, completed, "order") the caller\'s own rows: {OWN}',
        f'app_api may update (only text, completed, "order") the caller\'s own rows: before {OWN}, after {OWN}',
        f"app_api may delete the caller's own rows: {OWN}",
    ]
    assert rules(dba, role="app_owner") == [
        f"app_owner may select rows: {EXPLAINING}",
        "app_owner may insert no row: no policy permits it",
        "app_owner may update no row: no policy permits it",
        "app_owner may delete no row: no policy permits it",
    ]
    listed = dba.execute("select distinct role::text from audit.policies where \"table\" = 'app.tasks'::regclass")
    assert set(listed) == {("app_api",), ("app_owner",)}


@pytest.mark.parametrize(
    ("change", "command", "rule"),
    [
        (
            "alter table app.tasks disable row level security",
            "update",
            'app_api may update (only text, completed, "order") every row: row-level security is disabled',
        ),
        ("revoke delete on app.tasks from app_api", "delete", "app_api may not delete: it was not granted"),
        ("revoke insert on app.tasks from app_api", "insert", "app_api may not insert: it was not granted"),
        (
            "revoke select on app.tasks from app_api; grant select (id) on app.tasks to public",
            "select",
            f"app_api may select (only id) the caller's own rows: {OWN}",
        ),
        (
            "drop policy tasks_belong_to_their_user on app.tasks",
            "select",
            "app_api may select no row: no policy permits it",
        ),
        ("alter role app_api bypassrls", "delete", "app_api may delete every row: it bypasses row-level security"),
        ("alter role app_api superuser", "insert", "app_api may insert every row: it bypasses row-level security"),
        (
            "alter policy tasks_belong_to_their_user on app.tasks using (true)",
            "select",
            "app_api may select rows: true",
        ),
        (
            "alter policy tasks_belong_to_their_user on app.tasks with check (true)",
            "select",
            f"app_api may select the caller's own rows: {OWN}",
        ),
        (
            "alter policy tasks_belong_to_their_user on app.tasks with check (true)",
            "update",
            f'app_api may update (only text, completed, "order") rows: before {OWN}, after true',
        ),
        (
            """
            create role readers; grant readers to app_api;
            create policy b on app.tasks for delete to readers using (completed);
            create policy c on app.tasks as restrictive for delete using ("order" > 0)""",
            "delete",
            f'app_api may delete rows: (completed or {OWN}) and ("order" > 0)',
        ),
        (
            "create policy c on app.tasks as restrictive for delete to app_api using (completed)",
            "delete",
            f"app_api may delete the caller's own rows: {OWN} and completed",
        ),
    ],
)
def test_the_rules_after_a_change(dba: psycopg.Connection, change: str, command: str, rule: str) -> None:
    dba.execute(change)
    assert [found for found in rules(dba) if f" {command}" in found] == [rule]


def test_whoever_was_granted_something_is_listed(dba: psycopg.Connection) -> None:
    dba.execute('create role "Odd Role"; grant select, delete on app.tasks to "Odd Role"')
    assert rules(dba, role='"Odd Role"')[::3] == [
        '"Odd Role" may select no row: no policy permits it',
        '"Odd Role" may delete no row: no policy permits it',
    ]


def test_an_owner_who_does_not_bypass_the_policies_is_not_listed(dba: psycopg.Connection) -> None:
    dba.execute("""
        drop policy tasks_are_explained_by_their_owner on app.tasks;
        grant update (text) on app.tasks to app_owner;
    """)
    listed = dba.execute("select distinct role::text from audit.policies where \"table\" = 'app.tasks'::regclass")
    assert listed.fetchall() == [("app_api",)]


def test_an_owner_who_bypasses_the_policies_is_listed(dba: psycopg.Connection) -> None:
    dba.execute("""
        drop policy tasks_are_explained_by_their_owner on app.tasks;
        alter table app.tasks no force row level security;
        grant select on app.tasks to app_migrator;
    """)
    assert rules(dba, role="app_owner")[0] == "app_owner may select every row: it bypasses row-level security"
    assert rules(dba, role="app_migrator")[0] == "app_migrator may select every row: it bypasses row-level security"


def test_a_table_that_nobody_was_granted_says_so(dba: psycopg.Connection) -> None:
    dba.execute(f"{SCRATCH} create table scratch.bare (id int)")
    assert rules(dba, "scratch.bare") == [
        f"app_api may not {command}: it was not granted" for command in ("select", "insert", "update", "delete")
    ]


def test_an_odd_table_has_its_rules_in_words_too(dba: psycopg.Connection) -> None:
    dba.execute(ODD_TABLE)
    using = "((user_id)::text = app.current_user_id())"
    assert rules(dba, ODD) == [
        f"app_api may select the caller's own rows: {using}",
        "app_api may not insert: it was not granted",
        f'app_api may update (only "a) column") rows: before {using}, after false',
        "app_api may not delete: it was not granted",
    ]


def test_each_rule_comes_with_the_comments_of_its_policies(dba: psycopg.Connection) -> None:
    def comments() -> dict[str, str | None]:
        query = """
            select command, comment from audit.policies
            where "table" = 'app.tasks'::regclass and role = 'app_api'::regrole
        """
        return dict(dba.execute(query).fetchall())

    dba.execute("comment on policy tasks_belong_to_their_user on app.tasks is 'One''s own.'")
    assert comments() == dict.fromkeys(["select", "insert", "update", "delete"], "One's own.")

    dba.execute("""
        create policy open on app.tasks as restrictive for select to app_api using (not completed);
        comment on policy open on app.tasks is 'Only open ones.';
        create policy silent on app.tasks as restrictive for delete to app_api using (true);
    """)
    assert comments()["select"] == "open: Only open ones.\ntasks_belong_to_their_user: One's own."
    assert comments()["delete"] == "tasks_belong_to_their_user: One's own."

    dba.execute("comment on policy tasks_belong_to_their_user on app.tasks is null")
    assert comments() == {"select": "open: Only open ones.", "insert": None, "update": None, "delete": None}


def test_the_tables_and_how_they_are_protected(dba: psycopg.Connection) -> None:
    tables_before = set(dba.execute('select "table"::text from audit.tables'))
    dba.execute(ODD_TABLE)
    dba.execute(f"""
        alter table {ODD} no force row level security;
        create index on {ODD} ("a) column");
        {SCRATCH}
        create table scratch.bare (id int);
        create table scratch.child () inherits (app.tasks);
        create temporary table mine (id int);
        create schema hidden; create table hidden.t (id int);
        create table hidden.granted (id int); grant select on hidden.granted to app_api;
    """)
    policies = ["tasks_belong_to_their_user"]
    protected = ["id", "user_id", "created_at", "updated_at", "completed_at"]
    cursor = dba.execute('select "table"::text, * from audit.tables order by 1')
    assert cursor.description
    names = [column.name for column in cursor.description][2:]
    tables = {row[0]: dict(zip(names, row[2:], strict=True)) for row in cursor}
    added = {(name,) for name in (ODD, "scratch.bare", "scratch.child", "hidden.granted")}
    assert {(name,) for name in tables} == tables_before | added
    assert tables["app.tasks"] == {
        "rls_enabled": True,
        "rls_forced": True,
        "tenant_column": "user_id",
        "keys_lead_with_tenant": True,
        "select_policies": ["tasks_are_explained_by_their_owner", *policies],
        "insert_policies": policies,
        "update_policies": policies,
        "delete_policies": policies,
        "child_of": None,
        "reachable": True,
        "owner": "app_owner",
        "tenant_default": "app.current_user_id()",
        "tenant_condition": "user_id = app.current_user_id()",
        "protected_columns": protected,
    }
    assert tables[ODD] == {
        **tables["app.tasks"],
        "rls_forced": False,
        "keys_lead_with_tenant": False,
        **{f"{command}_policies": ["for: (all)"] for command in ("select", "insert", "update", "delete")},
        "protected_columns": ["user_id", "id", "closed_at"],
    }
    bare = tables["scratch.bare"]
    assert (bare["tenant_column"], bare["tenant_default"], bare["tenant_condition"]) == (None, None, None)
    assert not bare["keys_lead_with_tenant"]
    assert (bare["rls_enabled"], bare["reachable"], bare["select_policies"]) == (False, False, [])
    assert (tables["scratch.child"]["child_of"], tables["scratch.child"]["reachable"]) == ("app.tasks", False)


def test_who_was_granted_what(dba: psycopg.Connection) -> None:
    dba.execute(ODD_TABLE)
    dba.execute(f"""
        create role "Odd Role";
        grant delete on {ODD} to "Odd Role" with grant option;
        grant usage on schema "My App" to public;
        alter default privileges for role app_owner in schema "My App" grant select on tables to "Odd Role";
    """)
    query = """
        select grantee, privilege, kind, object, "column", with_grant_option, reaches_api from audit.grants
        where object in ('app.tasks', 'app', 'app.current_user_id()') or object like '%My App%'
    """
    assert set(dba.execute(query)) == {
        *(("app_api", privilege, "table", "app.tasks", None, False, True) for privilege in ("select", "delete")),
        *(
            ("app_api", privilege, "column", "app.tasks", column, False, True)
            for privilege in ("insert", "update")
            for column in ("text", "completed", "order")
        ),
        ("app_api", "usage", "schema", "app", None, False, True),
        ("app_api", "execute", "function", "app.current_user_id()", None, False, True),
        ("app_api", "usage", "schema", '"My App"', None, False, True),
        ("PUBLIC", "usage", "schema", '"My App"', None, False, True),
        ("app_api", "select", "table", ODD, None, False, True),
        ("app_api", "update", "column", ODD, "a) column", False, True),
        ("PUBLIC", "select", "column", ODD, "id", False, True),
        ('"Odd Role"', "delete", "table", ODD, None, True, False),
        ('"Odd Role"', "select", "default for tables", 'app_owner in "My App"', None, False, False),
    }
    catalogs = "select from audit.grants where object ~ '^(pg_|information_schema)'"
    assert dba.execute(catalogs).fetchall() == []


def test_the_roles_and_what_they_are_members_of(dba: psycopg.Connection) -> None:
    dba.execute("""
        create role "Odd Role" createdb in role app_migrator;
        alter role "Odd Role" set work_mem = '8MB';
    """)
    query = """
        select role::text, can_login, attributes, member_of::text[], settings from audit.roles
        where role::text ~ '^(app_|"Odd)' order by 1
    """
    assert dba.execute(query).fetchall() == [
        ('"Odd Role"', False, ["CREATEDB"], ["app_owner", "app_migrator"], ["work_mem=8MB"]),
        ("app_api", True, [], [], LIMITS),
        ("app_auditor", True, [], [], [PATH]),
        ("app_migrator", True, [], ["app_owner"], [PATH]),
        ("app_owner", False, [], [], [PATH]),
    ]


def accept(dba: psycopg.Connection, finding: Finding) -> None:
    """Accept a finding."""
    [(before,)] = dba.execute("select pg_get_viewdef('audit.accepted')").fetchall()
    values = sql.SQL(", ").join([finding.key, finding.fingerprint, "For this test."])
    statement = "create or replace view audit.accepted (key, fingerprint, reason) as {} union all select {}"
    dba.execute(sql.SQL(statement).format(sql.SQL(before.rstrip().removesuffix(";")), values))


def findings(dba: psycopg.Connection) -> list[Finding]:
    """Return the findings, but not that audit.accepted was edited."""
    return [Finding(*row) for row in dba.execute("select * from audit.findings")]


def test_on_one_node_nothing_is_accepted_for_a_cluster_and_no_other_node_differs(dba: psycopg.Connection) -> None:
    assert dba.execute("table audit.accepted_on_citus").fetchall() == []
    dba.execute("set role app_api")
    assert dba.execute("select * from audit.nodes()").fetchall() == []


def test_an_accepted_finding_is_not_reported_and_has_its_reason(dba: psycopg.Connection) -> None:
    dba.execute("alter table app.tasks no force row level security")
    found = findings(dba)
    assert {each.key for each in found} == {"rls_not_forced:app.tasks", "changed:table app.tasks"}
    for each in found:
        accept(dba, each)
    assert findings(dba) == []
    assert len(dba.execute(CHECKS["rls_not_forced"]).fetchall()) == 1
    reasons = dba.execute("select reason from audit.accepted where key = any (%s)", [[each.key for each in found]])
    assert reasons.fetchall() == [("For this test.",)] * 2


@pytest.mark.parametrize(
    ("made", "then"),
    [
        ("create policy p on app.tasks to app_auditor using (text = 'a')", "alter policy p on app.tasks using (true)"),
        ("create view app.v as table app.tasks", "create or replace view app.v as table app.tasks limit 1"),
        ("create view app.v as table app.tasks", "alter view app.v owner to postgres"),
        ("create function app.f() returns int return 1", "create or replace function app.f() returns int return 2"),
        ("create function app.f() returns int return 1", "alter function app.f() security definer"),
        ("create function app.f() returns int return 1", "alter function app.f() set work_mem = '1MB'"),
        ("grant truncate on app.tasks to app_api", "grant truncate on app.tasks to app_api with grant option"),
    ],
)
def test_what_was_accepted_is_a_finding_again_when_it_changes(dba: psycopg.Connection, made: str, then: str) -> None:
    dba.execute(f"{made}; grant usage on schema app to app_auditor".encode())
    if " app.v " in made:
        dba.execute("grant select on app.v to app_api; alter view app.v owner to app_owner")
    elif " app.f" in made:
        dba.execute("grant execute on function app.f() to app_api")
    for each in findings(dba):
        accept(dba, each)
    assert findings(dba) == []
    dba.execute(then.encode())
    assert findings(dba) != []


def test_an_audit_that_somebody_edited_is_an_error(admin: psycopg.Connection, url: Url) -> None:
    """Who asks it in psql is deceived. `partywall audit` and the readiness check compare it with what was installed."""
    admin.execute("alter table app.tasks disable row level security")
    [(view,)] = admin.execute("select rtrim(pg_get_viewdef('audit.findings'), ';')").fetchall()
    silent = sql.SQL("create or replace view audit.findings as select * from ({}) as found where false")
    admin.execute(silent.format(sql.SQL(view)))
    admin.commit()
    assert findings(admin) == []

    async def find_as_the_api() -> list[Finding]:
        connection = await asyncpg.connect(url("app_api"))
        try:
            return await find(connection)
        finally:
            await connection.close()

    assert asyncio.run(find_as_the_api()) == [EDITED]


def test_what_this_project_accepts_is_still_reported_by_a_check_and_has_a_reason(dba: psycopg.Connection) -> None:
    """With the same fingerprint: there are no findings. What it accepts on older servers is not there on newer ones."""
    found = {row[-1] for query in CHECKS.values() for row in dba.execute(query)}
    accepted: dict[str, str] = dict(dba.execute("select key, reason from audit.accepted").fetchall())
    on_older = {key for key in accepted if "app.uuidv7()" in key}
    assert accepted.keys() - found in (set(), on_older)
    assert found <= accepted.keys()
    assert all(reason.endswith(".") for reason in accepted.values())


# ---- who may read them --------------------------------------------------------------------------------

VIEWS = "select oid::regclass::text from pg_class where relnamespace = 'audit'::regnamespace and relkind = 'v'"
FUNCTIONS = """
    select proname from pg_proc
    where pronamespace = 'audit'::regnamespace and has_function_privilege(%s, oid, 'execute') = %s
"""


@pytest.mark.parametrize("role", ["app_auditor", "app_api"])
def test_auditor_and_api_read_all_of_it_and_cannot_have_a_row_explained(
    admin: psycopg.Connection, url: Url, role: str
) -> None:
    views = [name for (name,) in admin.execute(VIEWS)]
    assert len(views) > 8
    assert set(admin.execute(FUNCTIONS, [role, False])) == {("explain_access",), ("holds",)}
    assert set(admin.execute(FUNCTIONS, ["public", True])) == set()

    with psycopg.connect(url(role), autocommit=True) as reader:
        for view in views:
            reader.execute(sql.SQL("select * from {}").format(sql.SQL(view)))
            with pytest.raises((errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)):
                reader.execute(sql.SQL("delete from {}").format(sql.SQL(view)))
        for forbidden in (
            "select * from audit.explain_access('alice', 'pg_class', gen_random_uuid())",
            "select audit.holds('true', 'pg_class', null)",
            "create table audit.mine ()",
            "drop view audit.findings",
        ):
            with pytest.raises((errors.InsufficientPrivilege, errors.UndefinedTable)):
                reader.execute(forbidden)


def test_the_auditor_reads_no_row_of_a_tenant(admin: psycopg.Connection, url: Url) -> None:
    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'secret')")
    admin.commit()
    with psycopg.connect(url("app_auditor"), autocommit=True) as auditor:
        for query in (
            "select * from app.tasks",
            "select count(*) from app.tasks",
            "select * from pg_statistic",
            "copy app.tasks to stdout",
            "select app.current_user_id()",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                auditor.execute(query)


# ---- which version they are --------------------------------------------------------------------------

INSTALLED = """
    select obj_description('audit'::regnamespace, 'pg_namespace'), null, null
    union all
    select oid::regclass::text, pg_get_viewdef(oid), array(select unnest(relacl)::text order by 1)::text
        from pg_class where relnamespace = 'audit'::regnamespace and relkind = 'v'
    union all
    select oid::regprocedure::text, pg_get_functiondef(oid), array(select unnest(proacl)::text order by 1)::text
        from pg_proc where pronamespace = 'audit'::regnamespace
    order by 1
"""


def test_upgrade_head_installs_the_audit_anew_and_nothing_else_does(admin: psycopg.Connection, url: Url) -> None:
    admin.autocommit = True
    installed = admin.execute(INSTALLED).fetchall()
    for change in (
        """
        do $$
        begin
            execute format('create or replace view audit.findings as select * from (%s) as f where false',
                trim(';' from pg_get_viewdef('audit.findings'::regclass)));
        end
        $$;
        comment on schema audit is 'another version';
        grant execute on all functions in schema audit to app_api, public;
        revoke select on audit.roles from app_auditor""",
        "drop view audit.tables cascade",
        """
        alter view audit.roles rename column attributes to powers;
        create view audit.retired as select 1 as one;
        create function audit.body(text) returns text language sql return $1""",
    ):
        admin.execute(change)
        tampered = admin.execute(INSTALLED).fetchall()
        assert tampered != installed

        for command in ("current", "check"):
            assert alembic(url("app_migrator"), command).returncode == 0
        assert admin.execute(INSTALLED).fetchall() == tampered

        answer = alembic(url("app_migrator"), "upgrade", "head")
        assert "Running upgrade" not in answer.stderr
        assert admin.execute(INSTALLED).fetchall() == installed, change
