"""What SQL that was smuggled into a statement of the API can do, in a transaction of Alice's, and what it cannot.

docs/security.md says so; tests/db/test_forgery.py shows that an expression cannot change who is calling.
"""

import subprocess
from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from db.embedded import ROLES, binary
from db.session import begin_statement
from tests.support.database import PASSWORD, Url, url_to
from tests.support.workspaces import add_member, invite, workspace

MIGRATIONS_LOCK = "hashtextextended('partywall migrations', 0)"  # as in migrations/preamble.py
POSSIBLE = {
    "sleep": "select pg_sleep(0.001) is not null",
    "wait for a lock of its own": "select pg_advisory_xact_lock(1) is not null",
    "notify": "select pg_notify('tasks', 'anything') is not null",
    "compute": "select count(*) = 100000 from generate_series(1, 100000)",
    "read the names of tables": "select count(*) > 0 from pg_class where relname = 'tasks'",
    "read the names of roles": "select count(*) > 0 from pg_roles where rolname = 'app_owner'",
    "read settings": "select current_setting('max_connections') is not null",
    "read how large a table is": "select pg_relation_size('app.tasks') > 0",
    "read how many rows a table has": "select reltuples = 3 from pg_class where oid = 'app.tasks'::regclass",
    "write to the transaction log": "select pg_logical_emit_message(false, 'any', 'thing') is not null",
}
REFUSED = {
    "read a file": "select pg_read_file('/etc/hostname')",
    "list a directory": "select pg_ls_dir('.')",
    "import a file": "select lo_import('/etc/hostname')",
    "run a program": "copy app.tasks to program 'true'",
    "read passwords": "select rolpassword from pg_authid",
    "read hashes of passwords": "select passwd from pg_shadow",
    "read statistics of columns": "select * from pg_statistic",
    "reload the configuration": "select pg_reload_conf()",
    "reset statistics": "select pg_stat_reset()",
    "explain a row": "select * from audit.explain_access('alice', 'app.tasks', gen_random_uuid())",
    "change a time limit": "select set_config('statement_timeout', '0', false)",
    "read hashes of the tokens of invitations": "select token_hash from app.invitations",
    "become the owner": "set local role app_owner",
    "set what only superusers may": "set local session_replication_role = 'replica'",
}
MODES = {"read only": True, "read write": False}


@pytest.fixture
def smuggled(admin: psycopg.Connection, url: Url) -> Iterator[psycopg.Connection]:
    """Return a connection of app_api's, beside one task of Alice's and two of Bob's."""
    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'Mine'), ('bob', 'His'), ('bob', 'More')")
    admin.execute("analyze app.tasks")
    admin.commit()
    with psycopg.connect(url("app_api"), autocommit=True) as connection:
        yield connection


def run(
    connection: psycopg.Connection, statement: str, *, read_only: bool = True, workspace_id: UUID | None = None
) -> list[tuple[object, ...]]:
    """Return the rows of a statement in a transaction of Alice's, which is rolled back."""
    connection.execute(begin_statement("alice", read_only=read_only, workspace_id=workspace_id).encode())
    try:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
    finally:
        connection.execute("rollback")


@pytest.mark.parametrize("mode", MODES)
def test_an_expression_can(smuggled: psycopg.Connection, subtests: pytest.Subtests, mode: str) -> None:
    for what, statement in POSSIBLE.items():
        with subtests.test(what):
            assert run(smuggled, statement, read_only=MODES[mode]) == [(True,)]


@pytest.mark.parametrize("mode", MODES)
def test_neither_an_expression_nor_a_statement_can(
    smuggled: psycopg.Connection, subtests: pytest.Subtests, mode: str
) -> None:
    for what, statement in REFUSED.items():
        with subtests.test(what), pytest.raises(errors.InsufficientPrivilege):
            run(smuggled, statement, read_only=MODES[mode])


def test_an_expression_reads_and_locks_the_callers_rows_only(smuggled: psycopg.Connection) -> None:
    assert run(smuggled, "select text from app.tasks") == [("Mine",)]
    assert run(smuggled, "select text from app.tasks for update", read_only=False) == [("Mine",)]
    assert run(smuggled, "select * from pg_stats where schemaname = 'app'") == []
    with pytest.raises(errors.ReadOnlySqlTransaction):
        run(smuggled, "select text from app.tasks for update")


def test_an_expression_in_a_workspace_reaches_what_the_callers_role_reaches_there(
    admin: psycopg.Connection, smuggled: psycopg.Connection
) -> None:
    bobs, own = UUID(workspace(admin, "bob")), UUID(workspace(admin, "alice"))
    add_member(admin, str(bobs), "alice", "viewer")
    invite(admin, "a token", to=str(bobs))

    def in_bobs(statement: str, *, read_only: bool = False) -> list[tuple[object, ...]]:
        return run(smuggled, statement, read_only=read_only, workspace_id=bobs)

    assert in_bobs("select workspace_id from app.workspaces") == [(bobs,)]
    assert in_bobs("select user_id, role from app.members order by 1") == [("alice", "viewer"), ("bob", "owner")]
    assert in_bobs("select id from app.invitations") == []
    assert in_bobs("update app.members set role = 'owner' returning 1") == []
    assert in_bobs("select text from app.tasks") == [("Mine",)]
    for refused in ("select token_hash from app.invitations", f"select set_config('app.workspace_id', '{own}', true)"):
        with pytest.raises(errors.InsufficientPrivilege):
            in_bobs(refused)


def test_an_expression_that_may_write_creates_a_workspace_but_joins_none_without_a_token(
    admin: psycopg.Connection, smuggled: psycopg.Connection
) -> None:
    invite(admin, "a token", to=workspace(admin, "bob"))
    create = "select role from app.create_workspace('Any')"

    assert run(smuggled, create, read_only=False) == [("owner",)]
    with pytest.raises(errors.ReadOnlySqlTransaction):
        run(smuggled, create)
    assert run(smuggled, "select app.accept_invitation(sha256('another'))", read_only=False) == [(None,)]


def test_an_expression_reads_what_other_sessions_of_the_api_run_and_so_who_is_calling(
    admin: psycopg.Connection, smuggled: psycopg.Connection, url: Url
) -> None:
    with psycopg.connect(url("app_api"), autocommit=True) as other:
        other.execute(begin_statement("bob", read_only=True).encode())
        running = "select usename, query from pg_stat_activity where datname = current_database() and query <> ''"
        shown = run(smuggled, running)
    assert any(role == "app_api" and "'bob'" in str(query) for role, query in shown)
    assert {query for role, query in shown if role == admin.info.user} == {"<insufficient privilege>"}


def test_an_expression_ends_sessions_of_the_api_and_of_nobody_else(
    admin: psycopg.Connection, smuggled: psycopg.Connection, url: Url
) -> None:
    end = "select pg_terminate_backend({})"
    with psycopg.connect(url("app_api"), autocommit=True) as other:
        assert run(smuggled, end.format(other.info.backend_pid)) == [(True,)]
        with pytest.raises(errors.AdminShutdown):
            other.execute("select 1")
    with pytest.raises(errors.InsufficientPrivilege):
        run(smuggled, end.format(admin.info.backend_pid))


def test_an_expression_keeps_a_lock_until_its_session_ends(
    admin: psycopg.Connection, smuggled: psycopg.Connection
) -> None:
    """Among them the one for which migrations wait. An administrator sees whose it is and ends that session."""
    held = "select pid from pg_locks where locktype = 'advisory' and granted"
    run(smuggled, f"select pg_advisory_lock({MIGRATIONS_LOCK})")
    free = f"select pg_try_advisory_lock({MIGRATIONS_LOCK})".encode()
    assert admin.execute(free).fetchone() == (False,)
    assert admin.execute(held).fetchall() == [(smuggled.info.backend_pid,)]
    admin.execute("select pg_terminate_backend(%s, 5000)", (smuggled.info.backend_pid,))
    assert admin.execute(free).fetchone() == (True,)


def test_a_statement_of_the_api_ends_after_ten_seconds(smuggled: psycopg.Connection) -> None:
    assert run(smuggled, "select current_setting('statement_timeout')") == [("10s",)]


def test_a_large_object_of_the_api_is_a_finding(admin: psycopg.Connection, smuggled: psycopg.Connection) -> None:
    with pytest.raises(errors.ReadOnlySqlTransaction):
        run(smuggled, "delete from app.tasks where lo_create(4711) is null")
    smuggled.execute("select lo_create(4711)")
    found = admin.execute("select name from audit.findings where object ~ '4711'").fetchall()
    assert ("unexpected",) in found


# ---- a statement of its own --------------------------------------------------------------------------


def test_a_whole_statement_becomes_anybody(smuggled: psycopg.Connection) -> None:
    smuggled.execute(begin_statement("alice", read_only=True).encode())
    smuggled.execute("set local app.user_id = 'bob'")
    assert smuggled.execute("select text from app.tasks order by text").fetchall() == [("His",), ("More",)]
    smuggled.execute("rollback")


def test_a_whole_statement_sees_in_a_plan_how_many_rows_somebody_has(smuggled: psycopg.Connection) -> None:
    [(line,), *_] = run(smuggled, "explain select from app.tasks where user_id = 'bob'")
    assert "rows=2 " in str(line)


def test_a_whole_statement_changes_the_password_unless_it_is_read_only(smuggled: psycopg.Connection) -> None:
    run(smuggled, "alter role app_api password 'mallory'", read_only=False)
    with pytest.raises(errors.ReadOnlySqlTransaction):
        run(smuggled, "alter role app_api password 'mallory'")


# ---- what keeps the rights and what loses them ---------------------------------------------------------

MAY = "select has_function_privilege('app_api', 'set_config(text, text, boolean)', 'execute')"
DUMPS = {
    "": False,
    "--no-acl": True,
    "--schema=app --schema=audit": True,
}  # options, and whether a caller can be forged


@pytest.fixture
def new(admin: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Return a connection to a new database."""
    admin.autocommit = True
    name = f"{admin.info.dbname}_new"
    admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    with psycopg.connect(of_an_administrator(admin, name)) as connection:
        yield connection
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def of_an_administrator(admin: psycopg.Connection, dbname: str) -> str:
    """Return how an administrator reaches a database."""
    info = admin.info
    return make_conninfo(host=info.host, port=info.port, user=info.user, password=info.password, dbname=dbname)


def test_a_new_database_has_everybody_forge_until_roles_sql_has_run(new: psycopg.Connection) -> None:
    assert new.execute(MAY).fetchone() == (True,)
    new.execute(ROLES.read_text().encode(), prepare=False)
    assert new.execute(MAY).fetchone() == (False,)


@pytest.mark.parametrize("options", DUMPS)
def test_a_dump_of_the_whole_database_keeps_the_rights_and_any_other_loses_them(
    admin: psycopg.Connection, new: psycopg.Connection, options: str
) -> None:
    from_, to = (of_an_administrator(admin, each.info.dbname) for each in (admin, new))
    dump = subprocess.run([binary("pg_dump"), *options.split(), from_], capture_output=True, check=True)
    subprocess.run([binary("psql"), "--no-psqlrc", to], input=dump.stdout, capture_output=True, check=True)
    assert new.execute(MAY).fetchone() == (DUMPS[options],)


def test_a_login_that_dumps_needs_set_config_by_name(admin: psycopg.Connection) -> None:
    admin.execute(f"create role backup login password '{PASSWORD}' bypassrls in role pg_read_all_data")
    admin.commit()
    try:
        dump = [binary("pg_dump"), url_to(admin, "backup")]
        done = subprocess.run(dump, capture_output=True, text=True, check=False)
        assert "permission denied for function set_config" in done.stderr
        admin.execute("grant execute on function pg_catalog.set_config(text, text, boolean) to backup")
        admin.commit()
        assert subprocess.run(dump, capture_output=True, check=False).returncode == 0
    finally:
        admin.rollback()
        admin.execute("drop owned by backup; drop role backup")
        admin.commit()
