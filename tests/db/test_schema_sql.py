"""db/schema.sql is what the migrations make, and what it is for: whatever a migration changes shows in it."""

import asyncio
import re
import subprocess
import sys
from difflib import unified_diff
from pathlib import Path

import psycopg
import pytest

from db.embedded import EmbeddedPostgresError
from migrations import dump
from tests.support.database import ROOT, Url

COMMITTED = ROOT / "db/schema.sql"

# On a server before 16 the first view in schema app would differ (its columns are printed with the table's name), and
# before 18 a NOT NULL that has a name of its own. Policies, grants, triggers and functions are printed alike.


def diff(before: str, after: str) -> list[str]:
    """Return the lines that differ, each with its sign."""
    return list(unified_diff(before.splitlines(), after.splitlines(), COMMITTED.name, "this database", lineterm=""))


def test_the_committed_schema_is_that_of_a_freshly_migrated_database(url: Url) -> None:
    different = diff(COMMITTED.read_text(), dump.schema(url("app_migrator")))
    assert not different, "\n".join(["db/schema.sql is not what the migrations make: make schema", *different])


def test_the_committed_manifest_is_that_of_a_freshly_migrated_database(url: Url) -> None:
    """On servers before 18, but for app.uuidv7() and what PostgreSQL itself marks LEAKPROOF."""

    def comparable(manifest: str) -> str:
        lines = manifest.replace("app.uuidv7()", "uuidv7()").splitlines()
        return "\n".join(line for line in lines if not re.search(r"routine uuidv7\(\)|::oid\[\]", line))

    manifest = asyncio.run(dump.manifest(url("app_migrator")))
    different = diff(comparable((COMMITTED.parent / dump.MANIFEST).read_text()), comparable(manifest))
    assert not different, "\n".join(["db/audit/schema/manifest.sql is not what there is: make schema", *different])


@pytest.mark.slow("`make`")
def test_make_schema_writes_what_is_committed_and_says_whether_the_metadata_agrees(tree: Path) -> None:
    (tree / "db/schema.sql").unlink()
    command = [sys.executable, "-m", "migrations.dump", "db/schema.sql"]
    agreed = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
    assert diff(COMMITTED.read_text(), (tree / "db/schema.sql").read_text()) == []
    assert "No new upgrade operations detected." in agreed.stdout

    metadata = tree / "db/schema.py"
    metadata.write_text(metadata.read_text().replace('"created_at", DateTime(timezone=True)', '"created_at", Text', 1))
    (tree / "db/schema.sql").unlink()
    differed = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert differed.returncode != 0
    assert "created_at TEXT" in differed.stdout
    assert diff(COMMITTED.read_text(), (tree / "db/schema.sql").read_text()) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            "alter policy tasks_belong_to_their_user on app.tasks using (true) with check (true)",
            "+CREATE POLICY tasks_belong_to_their_user ON app.tasks TO app_api USING (true) WITH CHECK (true);",
        ),
        ("create policy peep on app.tasks using (true)", "+CREATE POLICY peep ON app.tasks USING (true);"),
        ("alter table app.tasks no force row level security", "-ALTER TABLE ONLY app.tasks FORCE ROW LEVEL SECURITY;"),
        ("alter table app.tasks disable row level security", "-ALTER TABLE app.tasks ENABLE ROW LEVEL SECURITY;"),
        ("grant truncate on app.tasks to app_api", "+GRANT SELECT,DELETE,TRUNCATE ON TABLE app.tasks TO app_api;"),
        ("grant update (user_id) on app.tasks to app_api", "+GRANT UPDATE(user_id) ON TABLE app.tasks TO app_api;"),
        (
            "alter default privileges for role app_owner grant execute on functions to public",
            "-ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;",
        ),
        (
            "alter default privileges for role app_owner in schema app grant select on tables to public",
            "+ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC;",
        ),
        (
            "alter table app.tasks disable trigger tasks_timestamps",
            "+ALTER TABLE app.tasks DISABLE TRIGGER tasks_timestamps;",
        ),
        ("alter function app.keep_task_timestamps() security definer", "+    LANGUAGE plpgsql SECURITY DEFINER"),
        ("alter table app.tasks owner to app_migrator", "+ALTER TABLE app.tasks OWNER TO app_migrator;"),
        ("comment on column app.tasks.id is null", "-COMMENT ON COLUMN app.tasks.id IS 'UUID version 7: sorts by the"),
        ("create schema stray authorization app_owner", "+CREATE SCHEMA stray;"),
    ],
)
def test_what_a_migration_changes_shows(admin: psycopg.Connection, url: Url, change: str, line: str) -> None:
    before = dump.schema(url("app_migrator"))
    admin.execute(change)
    admin.commit()
    assert [found for found in diff(before, dump.schema(url("app_migrator"))) if found.startswith(line)]


def test_the_audit_is_not_repeated(admin: psycopg.Connection, url: Url) -> None:
    before = dump.schema(url("app_migrator"))
    admin.execute("""
        create schema if not exists audit;
        create table audit.noise (id integer);
        alter default privileges in schema audit grant select on tables to app_auditor;
    """)
    admin.commit()
    assert dump.schema(url("app_migrator")) == before


def test_a_database_that_cannot_be_dumped_says_why() -> None:
    with pytest.raises(EmbeddedPostgresError, match="pg_dump: error: connection to server"):
        dump.schema("postgresql:///partywall?host=/nowhere")
