"""Migrations as a pipeline runs them: a login that owns nothing but through app_owner, and exit codes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from db.embedded import ROLES
from tests.support.database import PASSWORD, ROOT, Url, alembic, url_of

DESCRIBE = """
    select 'table', relname, relrowsecurity::text, relforcerowsecurity::text, relacl::text
        from pg_class where relnamespace = 'app'::regnamespace
    union all select 'column', attname, format_type(atttypid, atttypmod), pg_get_expr(adbin, adrelid), attacl::text
        from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where attrelid = to_regclass('app.tasks') and attnum > 0
    union all
        select 'policy', polname, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), polroles::text
        from pg_policy
    union all select 'constraint', conname, pg_get_constraintdef(oid), null, null
        from pg_constraint where connamespace = 'app'::regnamespace
    union all select 'function', proname, pg_get_functiondef(oid), proacl::text, null
        from pg_proc where pronamespace = 'app'::regnamespace
    union all select 'trigger', tgname, pg_get_triggerdef(oid), null, null from pg_trigger where not tgisinternal
    union all select 'comment', objoid::regclass::text, objsubid::text, description, null
        from pg_description where objoid = to_regclass('app.tasks')
    union all select 'default', defaclrole::regrole::text, defaclobjtype::text, defaclacl::text, null
        from pg_default_acl
    order by 1, 2, 3, 4
"""


@pytest.fixture
def empty(admin: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A database with nothing in it but what db/roles.sql sets up."""
    admin.autocommit = True
    name = f"{admin.info.dbname}_empty"
    admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    where = make_conninfo(admin.info.dsn, dbname=name, password=admin.info.password)
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(ROLES.read_text())
        yield connection
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def migrator(empty: psycopg.Connection) -> str:
    """The URL by which a pipeline migrates the empty database."""
    return url(empty, "app_migrator")


def url(connection: psycopg.Connection, role: str) -> str:
    """Return the URL of the database that `connection` is connected to, for `role`."""
    info = connection.info
    return url_of(role, {"host": info.host, "port": info.port, "dbname": info.dbname})


def describe(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return connection.execute(DESCRIBE).fetchall()


def test_up_down_up_leaves_what_up_leaves(empty: psycopg.Connection, migrator: str) -> None:
    alembic(migrator, "upgrade", "head")
    after_up = describe(empty)
    assert len(after_up) > 30
    alembic(migrator, "downgrade", "base")
    assert describe(empty) == []
    alembic(migrator, "upgrade", "head")
    assert describe(empty) == after_up


def test_everything_belongs_to_app_owner_and_nothing_to_the_login(empty: psycopg.Connection, migrator: str) -> None:
    alembic(migrator, "upgrade", "head")
    owners = empty.execute("""
        select nspowner::regrole::text from pg_namespace where nspname in ('app', 'migrations')
        union all select relowner::regrole::text from pg_class
            where relnamespace::regnamespace::text in ('app', 'migrations')
        union all select proowner::regrole::text from pg_proc where pronamespace = 'app'::regnamespace
    """).fetchall()
    assert set(owners) == {("app_owner",)}


def test_the_metadata_says_what_the_database_has(empty: psycopg.Connection, migrator: str) -> None:
    alembic(migrator, "upgrade", "head")
    assert alembic(migrator, "check").returncode == 0

    empty.execute("""
        alter table app.tasks add column colour text;
        alter table app.tasks alter column text drop not null;
        alter table app.tasks alter column "order" type bigint;
        alter table app.tasks alter column completed set default true;
        alter table app.tasks alter column id set default gen_random_uuid();
        drop index app.tasks_by_order;
        create table app.notes (id uuid);
    """)
    drifted = alembic(migrator, "check", check=False)
    assert drifted.returncode != 0
    for finding in (
        "remove_column', 'app', 'tasks', Column('colour'",
        "modify_nullable', 'app', 'tasks', 'text'",
        "modify_type', 'app', 'tasks', 'order'",
        "modify_default', 'app', 'tasks', 'completed'",
        "modify_default', 'app', 'tasks', 'id'",
        "add_index', Index('tasks_by_order'",
        "remove_table', Table('notes'",
    ):
        assert finding in drifted.stdout


def test_the_sql_that_is_printed_does_what_the_command_does(empty: psycopg.Connection, migrator: str, url: Url) -> None:
    script = alembic("postgresql://nobody@localhost/nothing", "upgrade", "head", "--sql").stdout

    with psycopg.connect(migrator, autocommit=True) as connection:
        connection.execute(script)

    with psycopg.connect(url("postgres")) as reference:
        assert describe(empty) == describe(reference)
    assert "(head)" in alembic(migrator, "current").stdout


def test_two_pipelines_at_once_do_not_collide(migrator: str) -> None:
    with ThreadPoolExecutor() as threads:
        runs = list(threads.map(lambda _: alembic(migrator, "upgrade", "head", check=False), range(3)))
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert sum("Running upgrade" in run.stderr for run in runs) == 1


def test_a_pipeline_waits_for_the_one_before_it(empty: psycopg.Connection, migrator: str) -> None:
    waiting = "select from pg_stat_activity where usename = 'app_migrator' and wait_event = 'advisory'"
    with ThreadPoolExecutor() as threads:
        with empty.transaction():
            empty.execute("select pg_advisory_xact_lock(hashtextextended('partywall migrations', 0))")
            run = threads.submit(alembic, migrator, "upgrade", "head")
            while not empty.execute(waiting).fetchall():
                assert not run.done()
                empty.execute("select pg_stat_clear_snapshot()")
                time.sleep(0.02)
            assert empty.execute("select to_regnamespace('app')").fetchone() == (None,)
        assert run.result().returncode == 0
    assert describe(empty) != []


def test_a_migration_gives_up_its_wait_for_a_busy_table_and_changes_nothing(
    empty: psycopg.Connection, migrator: str
) -> None:
    alembic(migrator, "upgrade", "head")
    before = describe(empty)
    with empty.transaction():
        empty.execute("lock table app.tasks, app.idempotency_keys in access share mode")
        answer = alembic(migrator, "downgrade", "base", check=False)
    assert answer.returncode != 0
    assert "canceling statement due to lock timeout" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert describe(empty) == before


def test_roles_made_by_hand_will_do(empty: psycopg.Connection) -> None:
    """A managed service: the deployer owns the database, and app_owner has no right of its own to it."""
    name = sql.Identifier(empty.info.dbname)
    empty.execute(sql.SQL("revoke create on database {} from app_owner").format(name))
    empty.execute(f"create role deployer login password '{PASSWORD}' in role app_owner")
    try:
        empty.execute(sql.SQL("alter database {} owner to deployer").format(name))
        alembic(url(empty, "deployer"), "upgrade", "head")
        assert alembic(url(empty, "deployer"), "check").returncode == 0
    finally:
        empty.execute(sql.SQL("alter database {} owner to postgres").format(name))
        empty.execute("drop role deployer")


@pytest.mark.parametrize(
    ("role", "reason"),
    [("app_api", 'login "app_api" is not a member of app_owner'), ("stranger", "cannot connect")],
)
def test_a_login_that_may_not_migrate_is_told_why(empty: psycopg.Connection, role: str, reason: str) -> None:
    answer = alembic(url(empty, role), "upgrade", "head", check=False)
    assert answer.returncode != 0
    assert reason in answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr
    assert empty.execute("select to_regclass('app.tasks')").fetchone() == (None,)


def test_without_a_url_there_is_nothing_to_migrate() -> None:
    environment = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "MIGRATION_DATABASE_URL"}}
    answer = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini"), "upgrade", "head"],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode != 0
    assert "MIGRATION_DATABASE_URL is not set" in answer.stderr + answer.stdout
