"""What people read in schema audit: the walls in words, who reads them, which version they are, why a row is hidden."""

import re
from collections.abc import Callable, Iterator
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from db.audit import CHECKS
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


@pytest.fixture
def dba(admin: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A superuser who changes roles too: in one transaction that is rolled back."""
    yield admin
    admin.rollback()


def rules(connection: psycopg.Connection, table: LiteralString = "app.tasks", role: str = "app_api") -> list[str]:
    query = 'select rule from audit.policies where "table" = %s::regclass and role = %s::regrole'
    return [rule for (rule,) in connection.execute(query, [table, role])]


# ---- the walls in words ------------------------------------------------------------------------------


def test_the_rules_of_tasks_in_words(dba: psycopg.Connection) -> None:
    assert rules(dba) == [
        f"app_api may select the caller's own rows: {OWN}",
        f'app_api may insert (only text, completed, "order") the caller\'s own rows: {OWN}',
        f'app_api may update (only text, completed, "order") the caller\'s own rows: before {OWN}, after {OWN}',
        f"app_api may delete the caller's own rows: {OWN}",
    ]
    assert rules(dba, role="app_owner") == [
        f"app_owner may select rows: {EXPLAINING}",
        "app_owner may insert no row: no policy lets it",
        "app_owner may update no row: no policy lets it",
        "app_owner may delete no row: no policy lets it",
    ]
    assert dba.execute("select distinct role::text from audit.policies").fetchall() == [("app_api",), ("app_owner",)]


@pytest.mark.parametrize(
    ("change", "command", "rule"),
    [
        (
            "alter table app.tasks disable row level security",
            "update",
            'app_api may update (only text, completed, "order") every row: row-level security is off',
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
            "app_api may select no row: no policy lets it",
        ),
        ("alter role app_api bypassrls", "delete", "app_api may delete every row: no policy binds it"),
        ("alter role app_api superuser", "insert", "app_api may insert every row: no policy binds it"),
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
def test_what_is_said_when_something_changed(dba: psycopg.Connection, change: str, command: str, rule: str) -> None:
    dba.execute(change)
    assert [said for said in rules(dba) if f" {command}" in said] == [rule]


def test_whoever_was_granted_something_is_listed(dba: psycopg.Connection) -> None:
    dba.execute('create role "Odd Role"; grant select, delete on app.tasks to "Odd Role"')
    assert rules(dba, role='"Odd Role"')[::3] == [
        '"Odd Role" may select no row: no policy lets it',
        '"Odd Role" may delete no row: no policy lets it',
    ]


def test_an_owner_whom_every_policy_binds_is_not_listed(dba: psycopg.Connection) -> None:
    dba.execute("""
        drop policy tasks_are_explained_by_their_owner on app.tasks;
        grant update (text) on app.tasks to app_owner;
    """)
    listed = dba.execute("select distinct role::text from audit.policies where \"table\" = 'app.tasks'::regclass")
    assert listed.fetchall() == [("app_api",)]


def test_an_owner_whom_no_policy_binds_is_listed(dba: psycopg.Connection) -> None:
    dba.execute("""
        drop policy tasks_are_explained_by_their_owner on app.tasks;
        alter table app.tasks no force row level security;
        grant select on app.tasks to app_migrator;
    """)
    assert rules(dba, role="app_owner")[0] == "app_owner may select every row: no policy binds it"
    assert rules(dba, role="app_migrator")[0] == "app_migrator may select every row: no policy binds it"


def test_a_table_that_nobody_was_granted_says_so(dba: psycopg.Connection) -> None:
    dba.execute("create table app.bare (id int)")
    assert rules(dba, "app.bare") == [
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


def test_the_tables_and_how_they_are_walled(dba: psycopg.Connection) -> None:
    dba.execute(ODD_TABLE)
    dba.execute(f"""
        alter table {ODD} no force row level security;
        create index on {ODD} ("a) column");
        create table app.bare (id int);
        create table app.child () inherits (app.tasks);
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
    assert tables.keys() == {ODD, "app.bare", "app.child", "app.idempotency_keys", "app.tasks", "hidden.granted"}
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
        "rule": "user_id = app.current_user_id()",
        "protected_columns": protected,
    }
    assert tables[ODD] == {
        **tables["app.tasks"],
        "rls_forced": False,
        "keys_lead_with_tenant": False,
        **{f"{command}_policies": ["for: (all)"] for command in ("select", "insert", "update", "delete")},
        "protected_columns": ["user_id", "id", "closed_at"],
    }
    bare = tables["app.bare"]
    assert (bare["tenant_column"], bare["keys_lead_with_tenant"], bare["rule"]) == (None, False, None)
    assert (bare["rls_enabled"], bare["reachable"], bare["select_policies"]) == (False, False, [])
    assert (tables["app.child"]["child_of"], tables["app.child"]["reachable"]) == ("app.tasks", False)


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
        select role::text, can_login, powers, member_of::text[], settings from audit.roles
        where role::text ~ '^(app_|"Odd)' order by 1
    """
    assert dba.execute(query).fetchall() == [
        ('"Odd Role"', False, ["CREATEDB"], ["app_owner", "app_migrator"], ["work_mem=8MB"]),
        ("app_api", True, [], [], ["idle_in_transaction_session_timeout=10s", "statement_timeout=10s"]),
        ("app_auditor", True, [], [], []),
        ("app_migrator", True, [], ["app_owner"], []),
        ("app_owner", False, [], [], []),
    ]


def test_an_accepted_finding_is_not_reported_and_has_its_reason(dba: psycopg.Connection) -> None:
    dba.execute("alter table app.tasks no force row level security")
    [(key,)] = dba.execute("select key from audit.findings").fetchall()
    before = dba.execute("select pg_get_viewdef('audit.accepted')").fetchone()
    assert before
    dba.execute(
        "create or replace view audit.accepted (key, reason) as "
        f"{before[0].rstrip().removesuffix(';')} union all select 'rls_not_forced:app.tasks', 'for this test'"
    )
    assert dba.execute("select * from audit.findings").fetchall() == []
    assert dba.execute(CHECKS["rls_not_forced"]).fetchall()[0][-1] == key
    assert dba.execute("select reason from audit.accepted where key = %s", [key]).fetchone() == ("for this test",)


def test_what_this_project_accepts_is_still_found_and_has_a_reason(dba: psycopg.Connection) -> None:
    found = {row[-1] for query in CHECKS.values() for row in dba.execute(query)}
    accepted: dict[str, str] = dict(dba.execute("select key, reason from audit.accepted").fetchall())
    assert found == accepted.keys()
    assert all(reason.endswith(".") for reason in accepted.values())


# ---- who reads them ----------------------------------------------------------------------------------

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
            "select audit.holds('true', 'pg_class', null::pg_class)",
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


# ---- why a row is hidden -----------------------------------------------------------------------------

Step = tuple[str, bool | None, str | None]
Explain = Callable[..., list[Step]]
POLICY = "permissive policy tasks_belong_to_their_user for all"


@pytest.fixture
def rows(admin: psycopg.Connection) -> dict[str, UUID]:
    """The id of one task of Alice's and one of Bob's. Charlie has none."""
    tasks = admin.execute("""
        insert into app.tasks (user_id, text) values ('alice', 'alice''s secret'), ('bob', 'bob''s secret')
        returning user_id, id
    """).fetchall()
    admin.commit()
    return dict(tasks)


@pytest.fixture(params=["postgres", "app_migrator"])
def asker(request: pytest.FixtureRequest, admin: psycopg.Connection, url: Url) -> Iterator[psycopg.Connection]:
    """Who has a row explained: a superuser, and a member of app_owner."""
    if request.param == "postgres":
        yield admin
        return
    with psycopg.connect(url(request.param)) as connection:
        yield connection


def explain(asker: psycopg.Connection, user: str | None, row: UUID, table: str = "app.tasks") -> list[Step]:
    query = "select step, holds, expression from audit.explain_access(%s, %s::regclass, %s)"
    return asker.execute(query, [user, table, row]).fetchall()


def change(admin: psycopg.Connection, statements: str) -> None:
    admin.execute(statements)
    admin.commit()


def explained(user: str, *, exists: bool = True, own: bool | None, sees: bool) -> list[Step]:
    """Return what is said about a task of a healthy database."""
    return [
        ("the row exists", exists, None),
        ("app_api was granted select", True, None),
        ("row-level security binds app_api", True, None),
        (f"{POLICY}: using", own, OWN),
        (f"{POLICY}: with check", own, OWN),
        (f"{user} sees the row", sees, None),
    ]


def test_everybody_sees_their_own_row(asker: psycopg.Connection, rows: dict[str, UUID]) -> None:
    assert explain(asker, "alice", rows["alice"]) == explained("alice", own=True, sees=True)
    assert explain(asker, "bob", rows["bob"]) == explained("bob", own=True, sees=True)


def test_nobody_sees_a_row_of_another(asker: psycopg.Connection, rows: dict[str, UUID]) -> None:
    assert explain(asker, "alice", rows["bob"]) == explained("alice", own=False, sees=False)
    assert explain(asker, "bob", rows["alice"]) == explained("bob", own=False, sees=False)
    assert explain(asker, "Charlie's", rows["alice"]) == explained('"Charlie\'s"', own=False, sees=False)
    assert explain(asker, None, rows["alice"]) == explained("nobody", own=False, sees=False)


def test_a_row_that_does_not_exist_says_so(asker: psycopg.Connection) -> None:
    assert explain(asker, "alice", uuid4()) == explained("alice", exists=False, own=None, sees=False)


def test_two_rows_with_one_id_are_told_apart_by_their_owner(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    admin.execute("insert into app.tasks (id, user_id, text) values (%s, 'bob', 'the same id')", [rows["alice"]])
    admin.commit()
    assert explain(asker, "bob", rows["alice"]) == explained("bob", own=True, sees=True)
    assert explain(asker, "alice", rows["alice"]) == explained("alice", own=True, sees=True)


def test_without_row_level_security_everybody_sees_every_row(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(admin, "alter table app.tasks disable row level security")
    steps = explain(asker, "alice", rows["bob"])
    assert ("row-level security binds app_api", False, None) in steps
    assert (f"{POLICY}: using", False, OWN) in steps
    assert steps[-1] == ("alice sees the row", True, None)


def test_without_a_grant_nobody_sees_a_row(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(admin, "revoke select on app.tasks from app_api")
    steps = explain(asker, "alice", rows["alice"])
    assert steps[1:] == [
        ("app_api was granted select", False, None),
        *explained("alice", own=True, sees=False)[2:],
    ]


def test_every_clause_is_asked_and_only_those_that_read_decide(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(
        admin,
        """
        create policy "a: peep" on app.tasks for delete to app_api using (true);
        create policy open on app.tasks as restrictive for select to app_api using (not completed);
        create policy short on app.tasks as restrictive for update using (tasks.text < 'z') with check (text is null);
        update app.tasks set completed = user_id = 'bob';
        """,
    )
    others = [
        ('permissive policy "a: peep" for delete: using', True, "true"),
        (f"{POLICY}: using", True, OWN),
        (f"{POLICY}: with check", True, OWN),
    ]
    short = [
        ("restrictive policy short for update: using", True, "(text < 'z'::text)"),
        ("restrictive policy short for update: with check", False, "(text IS NULL)"),
    ]
    restrictive = "restrictive policy open for select: using"
    assert explain(asker, "alice", rows["alice"])[3:] == [
        *others,
        (restrictive, True, "(NOT completed)"),
        *short,
        ("alice sees the row", True, None),
    ]
    assert explain(asker, "bob", rows["bob"])[3:] == [
        *others,
        (restrictive, False, "(NOT completed)"),
        *short,
        ("bob sees the row", False, None),
    ]


def test_a_row_of_an_odd_table_is_explained_too(admin: psycopg.Connection, asker: psycopg.Connection) -> None:
    row = uuid4()
    explaining = "using (current_setting('audit.explaining', true) = 'on')"
    change(admin, f"{ODD_TABLE} create policy explained on {ODD} for select to app_owner {explaining}")
    odd = sql.Identifier("My App", 'Odd "Table"')
    admin.execute(sql.SQL("insert into {} (user_id, id) values ('alice', %s)").format(odd), [row])
    admin.commit()

    [*_, using, check, sees] = explain(asker, "alice", row, ODD)
    expression = "((user_id)::text = app.current_user_id())"
    assert using == ('permissive policy "for: (all)" for all: using', True, expression)
    assert check == ('permissive policy "for: (all)" for all: with check', False, "false")
    assert sees == ("alice sees the row", True, None)


@pytest.mark.parametrize(
    "relation",
    ["migrations.alembic_version", "pg_class", "app.numbered", "app.viewed"],
)
def test_what_is_not_a_table_of_tenants_is_a_clear_error(
    admin: psycopg.Connection, asker: psycopg.Connection, relation: str
) -> None:
    change(
        admin,
        """
        create table app.numbered (user_id text, id int);
        create view app.viewed as select * from app.tasks;
        """,
    )
    with pytest.raises(errors.RaiseException, match=re.escape(f"{relation} is not a tenant table")):
        explain(asker, "alice", uuid4(), relation)


@pytest.mark.parametrize(
    "alone",
    [
        "drop policy tasks_are_explained_by_their_owner on app.tasks",
        "alter policy tasks_are_explained_by_their_owner on app.tasks using (user_id = app.current_user_id())",
        "alter policy tasks_are_explained_by_their_owner on app.tasks using (false)",
    ],
)
def test_a_member_of_the_owner_whom_no_policy_lets_in_is_told_what_is_missing(
    admin: psycopg.Connection, url: Url, rows: dict[str, UUID], alone: str
) -> None:
    """It would be a lie that the row does not exist."""
    change(admin, alone)
    with psycopg.connect(url("app_migrator")) as migrator:
        with pytest.raises(errors.RaiseException, match="app_owner cannot look up a row") as caught:
            explain(migrator, "alice", rows["alice"])
        assert "docs/dba.md" in (caught.value.diag.message_hint or "")
    assert explain(admin, "alice", rows["bob"]) == explained("alice", own=False, sees=False)


SETTINGS = """
    select current_user, session_user, current_setting('role'), current_setting('search_path'),
        nullif(current_setting('app.user_id', true), ''), nullif(current_setting('audit.explaining', true), '')
"""


@pytest.mark.parametrize("before", ["", "set local app.user_id = 'charlie'; set local audit.explaining = 'off'"])
def test_it_leaves_everything_as_it_was(asker: psycopg.Connection, rows: dict[str, UUID], before: str) -> None:
    asker.execute(before or "select")
    settings = asker.execute(SETTINGS).fetchone()

    explain(asker, "alice", rows["bob"])
    assert asker.execute(SETTINGS).fetchone() == settings

    with pytest.raises(errors.RaiseException), asker.transaction():
        explain(asker, "alice", rows["bob"], "pg_class")
    assert asker.execute(SETTINGS).fetchone() == settings


def test_it_shows_no_column_of_the_row(asker: psycopg.Connection, rows: dict[str, UUID]) -> None:
    shown = repr([*explain(asker, "charlie", rows["alice"]), *explain(asker, "charlie", rows["bob"])])
    for value in ("alice", "bob", "secret", str(rows["alice"]), str(rows["bob"])):
        assert value not in shown


def spy(body: str) -> str:
    """Return the SQL that puts a function with `body` into the policy."""
    return f"""
        create function app.spy() returns boolean language plpgsql as $$ begin {body} return true; end $$;
        alter function app.spy() owner to app_owner;
        create policy spied on app.tasks as restrictive for select to app_api using (app.spy());
    """


def test_a_policy_runs_with_the_rights_of_the_owner_and_nobody_elses(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(admin, spy("perform set_config('test.ran_as', current_user::text, false);"))
    assert explain(asker, "alice", rows["alice"])[-1] == ("alice sees the row", True, None)
    assert asker.execute("select current_setting('test.ran_as')").fetchone() == ("app_owner",)


@pytest.mark.parametrize(
    "grab",
    [
        "perform set_config('role', 'none', true);",
        "reset role;",
        "set local role postgres;",
        "set local session authorization postgres;",
        "perform pg_catalog.pg_read_file('PG_VERSION');",
        "perform rolpassword from pg_catalog.pg_authid;",
    ],
)
def test_a_policy_cannot_borrow_a_superusers_rights(
    admin: psycopg.Connection, rows: dict[str, UUID], grab: str
) -> None:
    change(admin, spy(grab))
    with pytest.raises(errors.InsufficientPrivilege):
        explain(admin, "alice", rows["alice"])


def test_a_policy_sees_no_other_row_of_the_table_while_it_is_explained(
    admin: psycopg.Connection, asker: psycopg.Connection, rows: dict[str, UUID]
) -> None:
    change(admin, spy("perform set_config('test.saw', count(*)::text, false) from app.tasks;"))
    explain(asker, "alice", rows["alice"])
    assert asker.execute("select current_setting('test.saw')").fetchone() == ("0",)


# ---- the owner's policy is no door for the API -------------------------------------------------------


@pytest.mark.usefixtures("rows")
def test_the_api_cannot_open_the_owners_policy_not_even_through_a_function_of_the_owner(
    admin: psycopg.Connection, url: Url
) -> None:
    change(
        admin,
        """
        create function app.all_tasks() returns setof app.tasks language plpgsql security definer set search_path = ''
        as $$
        begin
            perform set_config('audit.explaining', 'on', true);
            return query select * from app.tasks;
        end
        $$;
        alter function app.all_tasks() owner to app_owner;
        grant execute on function app.all_tasks() to app_api;
        """,
    )
    with psycopg.connect(url("app_api")) as api:
        api.execute("set local audit.explaining = 'on'")
        assert api.execute("select * from app.tasks").fetchall() == []
        assert api.execute("select * from app.all_tasks()").fetchall() == []
        api.execute("set local app.user_id = 'alice'")
        assert [row[1] for row in api.execute("select * from app.tasks")] == ["alice"]
        assert api.execute("select * from app.all_tasks()").fetchall() == []


@pytest.mark.usefixtures("rows")
def test_a_member_of_the_owner_sees_rows_only_while_it_explains(url: Url) -> None:
    with psycopg.connect(url("app_migrator")) as migrator:
        for role in ("app_migrator", "app_owner"):
            migrator.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            assert migrator.execute("select * from app.tasks").fetchall() == []
            assert migrator.execute("update app.tasks set text = 'x'").rowcount == 0
