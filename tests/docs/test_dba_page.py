"""What docs/dba.md shows was run: every session on it is run again, and must print the same."""

import asyncio
import os
import pty
import re
import subprocess
from types import SimpleNamespace
from typing import Any

import asyncpg
import psycopg

from db.audit import CHECKS
from db.audit.prove import Proof, prove
from db.embedded import binary
from migrations.dump import manifest
from tests.support import shell
from tests.support.database import ROOT, Url
from tests.support.shell import shows

PAGE = (ROOT / "docs/dba.md").read_text()
SESSION = re.compile(r"(?:<!-- psql as (\w+) -->\n)?```\n(partywall=.*?)```\n", re.DOTALL)
PROMPT = re.compile(r"^partywall[=\-][*!]?[#>] ", re.MULTILINE)
CONSOLE = re.compile(r"```console\n\$ (.+)\n((?:.+\n)+)```\n")
RECIPE = re.compile(r"<!-- recipe -->\n```sql\n(.*?)```\n", re.DOTALL)
REVISION = re.compile(r"```python\n(def upgrade.*?)```\n", re.DOTALL)

TASKS = """
    insert into app.tasks (id, user_id, text, "order") values
        ('0198c0de-0000-7000-8000-00000000000a', 'alice', 'Buy milk', 30),
        ('0198c0de-0000-7000-8000-00000000000b', 'bob', 'Water the plants', 10);
    insert into app.tasks (user_id, text, "order") values ('alice', 'Call Bob', 10), ('alice', 'Fix the fence', 20);
    insert into app.tasks (user_id, text) select 'charlie', 'Task ' || n from generate_series(1, 449) as n;
"""


def run(statements: str, url: str, become: str | None) -> str:
    """Return what psql shows on a terminal, where errors come in their order, without its prompts."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"PGOPTIONS": f"-c role={become}" if become else "", "LC_ALL": "C"}
    command = [binary("psql"), "--no-psqlrc", "--echo-all", "--pset=pager=off", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        assert process.stdin
        process.stdin.write(statements.encode())
        process.stdin.close()
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # how Linux says that the other end of a terminal is closed
            pass
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def replay(session: str, role: str, url: Url) -> str:
    """Return a session as it goes today, with the prompts of the page."""
    prompts = {PROMPT.sub("", line): line for line in session.splitlines() if PROMPT.match(line)}
    login, become = ("app_migrator", role) if role == "app_owner" else (role, None)
    shown = run("".join(f"{statement}\n" for statement in prompts), url(login), become)
    lines = [prompts.get(line, line).rstrip() for line in shown.splitlines()]
    return "\n".join(lines).rstrip() + "\n"


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


def test_a_backup_by_the_owner_fails_as_it_is_shown(url: Url) -> None:
    [(command, shown)] = CONSOLE.findall(PAGE)
    environment = shell.environment() | {"MIGRATION_DATABASE_URL": url("app_migrator")}
    [(output, status)] = shell.run([command.replace("tasks.sql", "/dev/null")], environment, ROOT)
    assert shows(shown, output), output
    assert status


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


def test_every_check_is_on_the_page_with_its_level() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \| .+ \|$", PAGE, re.MULTILINE)
    assert [name for name, _ in rows] == sorted(CHECKS)
    for name, levels in rows:
        found = {level for level in ("error", "warning", "info") if f"'{level}'" in CHECKS[name]}
        assert found == set(re.split(", | or ", levels))
