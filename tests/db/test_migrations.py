"""Migrations as a pipeline runs them: a login that owns nothing but through app_owner, and exit codes."""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql

from tests.support.database import PASSWORD, ROOT, Url, alembic, url_to
from tests.support.tables import tenant_tables

SCRIPTS = ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))

DESCRIBE = """
    select 'table', relname, relrowsecurity::text, relforcerowsecurity::text, relacl::text
        from pg_class where relnamespace = 'app'::regnamespace
    union all
        select 'column', attrelid::regclass || '.' || attname, format_type(atttypid, atttypmod),
            pg_get_expr(adbin, adrelid), attacl::text
        from pg_attribute join pg_class as c on c.oid = attrelid
            left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where relnamespace = 'app'::regnamespace and relkind = 'r' and attnum > 0
    union all select 'index', indexname, indexdef, null, null from pg_indexes where schemaname = 'app'
    union all
        select 'policy', polname, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), polroles::text
        from pg_policy
    union all select 'constraint', conname, pg_get_constraintdef(oid), null, null
        from pg_constraint where connamespace = 'app'::regnamespace
    union all select 'function', proname, pg_get_functiondef(oid), proacl::text, null
        from pg_proc where pronamespace = 'app'::regnamespace
    union all select 'trigger', tgname, pg_get_triggerdef(oid), null, null from pg_trigger where not tgisinternal
    union all
        select 'comment', o.type || ' ' || o.identity, objsubid::text, description, null
        from pg_description cross join pg_identify_object(classoid, objoid, objsubid) as o
        where objoid > 16383 and o.identity ~ '\\mapp[.]'
    union all select 'default', defaclrole::regrole::text, defaclobjtype::text, defaclacl::text, null
        from pg_default_acl
    order by 1, 2, 3, 4
"""


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


DRIFT = """
    alter table app.tasks add column scratch_colour text default 'red';
    alter table app.tasks drop column completed_at;
    alter table app.tasks alter column text drop not null;
    alter table app.tasks alter column "order" type bigint;
    alter table app.tasks alter column created_at set default '2026-01-01';
    drop index app.tasks_by_order;
    create index tasks_by_order on app.tasks (user_id);
    create table app.scratch_drift (id uuid);
    alter table app.tasks add constraint scratch_key unique (id), add constraint scratch_fk
        foreign key (id) references app.tasks (id);
"""
# Each object that differs: in the database, in db/schema.py.
DIFFERENCES = {
    "column app.tasks.scratch_colour": ("scratch_colour TEXT DEFAULT 'red'::text", "nothing"),
    "column app.tasks.completed_at": ("nothing", "completed_at TIMESTAMP WITH TIME ZONE"),
    "column app.tasks.text": ("text TEXT", "text TEXT NOT NULL"),
    "column app.tasks.order": ('"order" BIGINT DEFAULT 0 NOT NULL', '"order" INTEGER DEFAULT 0 NOT NULL'),
    "column app.tasks.created_at": (
        "created_at TIMESTAMP WITH TIME ZONE DEFAULT '2026-01-01 00:00:00+00'::timestamp with time zone NOT NULL",
        "created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL",
    ),
    "index app.tasks_by_order": (
        "CREATE INDEX tasks_by_order ON app.tasks (user_id)",
        'CREATE INDEX tasks_by_order ON app.tasks (user_id, "order", id)',
    ),
    "table app.scratch_drift": ("CREATE TABLE app.scratch_drift (\n        id UUID\n    )", "nothing"),
    "constraint scratch_key on app.tasks": (
        "ALTER TABLE app.tasks ADD CONSTRAINT scratch_key UNIQUE NULLS DISTINCT (id)",
        "nothing",
    ),
    "constraint scratch_fk on app.tasks": (
        "ALTER TABLE app.tasks ADD CONSTRAINT scratch_fk FOREIGN KEY(id) REFERENCES app.tasks (id)",
        "nothing",
    ),
}


def test_what_differs_from_the_metadata_is_shown_as_sql_of_both_sides(admin: psycopg.Connection, url: Url) -> None:
    assert alembic(url("app_migrator"), "check").returncode == 0

    admin.autocommit = True
    admin.execute(DRIFT)

    drifted = alembic(url("app_migrator"), "check", check=False)
    *blocks, last = re.split(r"\n\n|\n(?=FAILED)", drifted.stdout.strip())
    assert drifted.returncode != 0
    assert last == "FAILED: the database differs from db/schema.py: see above"
    assert set(blocks) == {
        f"{name}\n  the database has\n    {database}\n  db/schema.py says\n    {schema}"
        for name, (database, schema) in DIFFERENCES.items()
    }


def test_the_sql_that_is_printed_does_what_the_command_does(empty: psycopg.Connection, migrator: str, url: Url) -> None:
    script = alembic("postgresql://nobody@localhost/nothing", "upgrade", "head", "--sql").stdout

    with psycopg.connect(migrator, autocommit=True) as connection:
        connection.execute(script)

    with psycopg.connect(url("postgres")) as reference:
        assert describe(empty) == describe(reference)
    assert "(head)" in alembic(migrator, "current").stdout


INSTALLED = "select obj_description(to_regnamespace('audit'), 'pg_namespace')"
SECOND_NEWEST, NEWEST = [script.revision for script in SCRIPTS.walk_revisions()][1::-1]


@pytest.mark.parametrize("destination", ["head", "heads", "+1", NEWEST])
def test_every_way_to_the_newest_revision_installs_the_audit(
    destination: str, admin: psycopg.Connection, empty: psycopg.Connection, migrator: str
) -> None:
    script = alembic(migrator, "upgrade", f"{SECOND_NEWEST}:{destination}", "--sql")
    alembic(migrator, "upgrade", SECOND_NEWEST)
    assert empty.execute(INSTALLED).fetchone() == (None,)

    run = alembic(migrator, "upgrade", destination)

    assert empty.execute(INSTALLED).fetchone() == admin.execute(INSTALLED).fetchone()
    assert "comment on schema audit" in script.stdout
    assert "stopped at" not in run.stderr + script.stderr


@pytest.mark.parametrize(
    ("arguments", "at"),
    [
        (("upgrade", SECOND_NEWEST), SECOND_NEWEST),
        (("downgrade", "-1"), SECOND_NEWEST),
        (("downgrade", "base"), "base"),
        (("stamp", SECOND_NEWEST), SECOND_NEWEST),
    ],
)
def test_a_run_that_stops_elsewhere_says_so_and_leaves_the_audit_as_it_is(
    arguments: tuple[str, str], at: str, empty: psycopg.Connection, migrator: str
) -> None:
    if arguments[0] != "upgrade":
        alembic(migrator, "upgrade", "head")
    before = empty.execute(INSTALLED).fetchone()

    run = alembic(migrator, *arguments)

    assert f"stopped at {at}: the audit stays as it is until {NEWEST} is reached: alembic upgrade head" in run.stderr
    assert empty.execute(INSTALLED).fetchone() == before


@pytest.mark.parametrize(("command", "at"), [("upgrade", SECOND_NEWEST), ("downgrade", "base")])
def test_sql_that_stops_elsewhere_says_so_and_has_no_audit(command: str, at: str) -> None:
    script = alembic(
        "postgresql://nobody@localhost/nothing", command, f"{NEWEST}:{at}" if at == "base" else at, "--sql"
    )
    assert f"stopped at {at}: the audit stays as it is" in script.stderr
    assert "comment on schema audit" not in script.stdout


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
    with empty.transaction():
        empty.execute(f"lock table {', '.join(tenant_tables(empty))} in access share mode".encode())
        alembic(migrator, "downgrade", "base", check=False)  # takes the steps that need no table
        before = describe(empty)
        run = alembic(migrator, "downgrade", "base", check=False)
    assert run.returncode != 0
    assert "canceling statement due to lock timeout" in run.stderr
    assert "Traceback" not in run.stderr
    assert describe(empty) == before


def test_roles_made_by_hand_will_do(empty: psycopg.Connection) -> None:
    """A managed service: the deployer owns the database, and app_owner has no right of its own to it."""
    name = sql.Identifier(empty.info.dbname)
    empty.execute(sql.SQL("revoke create on database {} from app_owner").format(name))
    empty.execute(f"create role deployer login password '{PASSWORD}' in role app_owner")
    try:
        empty.execute(sql.SQL("alter database {} owner to deployer").format(name))
        alembic(url_to(empty, "deployer"), "upgrade", "head")
        assert alembic(url_to(empty, "deployer"), "check").returncode == 0
    finally:
        empty.execute(sql.SQL("alter database {} owner to postgres").format(name))
        empty.execute("drop role deployer")


@pytest.mark.parametrize(
    ("role", "reason"),
    [("app_api", "grant app_owner to the login"), ("nobody", "cannot connect")],
)
def test_a_login_that_may_not_migrate_is_told_why(empty: psycopg.Connection, role: str, reason: str) -> None:
    run = alembic(url_to(empty, role), "upgrade", "head", check=False)
    assert run.returncode != 0
    assert reason in run.stderr + run.stdout
    assert "Traceback" not in run.stderr
    assert empty.execute("select to_regclass('app.tasks')").fetchone() == (None,)


def test_without_a_url_there_is_nothing_to_migrate() -> None:
    environment = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "MIGRATION_DATABASE_URL"}}
    run = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini"), "upgrade", "head"],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "MIGRATION_DATABASE_URL is not set" in run.stderr + run.stdout
