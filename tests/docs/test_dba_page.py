"""What docs/dba.md shows was run: every session on it is run again, and must print the same."""

import asyncio
import re
from types import SimpleNamespace
from typing import Any

import asyncpg
import psycopg

from db.audit import CHECKS
from db.audit.prove import Proof, prove
from db.audit.report import as_text
from migrations.dump import manifest
from tests.support.database import ROOT, Url
from tests.support.psql_sessions import SESSION, TASKS, replay
from tests.support.shell import shows

PAGE = (ROOT / "docs/dba.md").read_text()
MATRIX = re.compile(r"<!-- the matrix -->\n```\n(.*?)```\n", re.DOTALL)
RECIPE = re.compile(r"<!-- recipe -->\n```sql\n(.*?)```\n", re.DOTALL)
REVISION = re.compile(r"```python\n(def upgrade.*?)```\n", re.DOTALL)


def test_the_sessions_go_as_they_are_shown(admin: psycopg.Connection, url: Url) -> None:
    """One after another: what one of them breaks, the next one fixes."""
    admin.execute(TASKS)
    admin.commit()
    sessions = SESSION.findall(PAGE)
    assert len(sessions) == PAGE.count("```\npartywall=") > 10
    for role, session in sessions:
        assert role, f"as whom is not said: {session}"
        if "arwdDxtm" in session and admin.info.server_version < 170000:
            continue  # m, MAINTAIN, is new in PostgreSQL 17
        actual = replay(session, role, url)
        assert shows(session, actual), actual


def test_the_revision_changes_rows_of_all_users_and_their_versions(admin: psycopg.Connection, url: Url) -> None:
    admin.execute("insert into app.tasks (user_id, text) values ('alice', ' Buy milk '), ('bob', 'Call Alice')")
    admin.commit()

    [revision] = REVISION.findall(PAGE)
    with psycopg.connect(url("app_migrator")) as migrator:
        migrator.execute("set role app_owner")
        revised: dict[str, Any] = {"op": SimpleNamespace(execute=migrator.execute)}
        exec(revision, revised)  # noqa: S102 - it is our own
        revised["upgrade"]()

    changed = admin.execute("select text, updated_at > created_at from app.tasks order by user_id").fetchall()
    assert changed == [("Buy milk", True), ("Call Alice", False)]
    assert admin.execute("select * from audit.findings").fetchall() == []


def test_the_recipe_makes_a_table_that_the_audit_has_nothing_to_say_about(url: Url) -> None:
    [recipe] = RECIPE.findall(PAGE)
    with psycopg.connect(url("app_migrator")) as migrator:
        migrator.execute("set role app_owner")
        migrator.execute(recipe)
        migrator.commit()
        migrator.execute(asyncio.run(manifest(url("app_migrator"))).encode())  # as `make schema` and a release do

    async def audit() -> tuple[list[asyncpg.Record], Proof]:
        connection = await asyncpg.connect(url("app_api"))
        found = await connection.fetch("select * from audit.findings"), await prove(connection)
        await connection.close()
        return found

    findings, proof = asyncio.run(audit())
    assert (findings, proof.findings) == ([], [])
    assert {attempt.table for attempt in proof.attempts} >= {"session", "app.tasks", "app.things"}
    assert "reference another tenant's row in app.tasks" in {attempt.attempt for attempt in proof.attempts}


def test_the_matrix_is_the_one_that_is_printed(url: Url) -> None:
    async def printed() -> str:
        connection = await asyncpg.connect(url("app_api"))
        proof = await prove(connection)
        await connection.close()
        return as_text(proof.findings, [*proof.attempts, *proof.matrix])

    [matrix] = MATRIX.findall(PAGE)
    assert shows(f"…{matrix}…", asyncio.run(printed()))


def test_every_check_is_on_the_page_with_its_level() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \| .+ \|$", PAGE, re.MULTILINE)
    assert [name for name, _ in rows] == sorted(CHECKS)
    for name, levels in rows:
        found = {level for level in ("error", "warning", "info") if f"'{level}'" in CHECKS[name]}
        assert found == set(re.split(", | or ", levels))
