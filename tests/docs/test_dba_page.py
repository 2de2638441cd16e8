"""What docs/dba.md shows was run: each of its sessions that says as whom is run again, and must say the same."""

import asyncio
import os
import pty
import re
import subprocess
from pathlib import Path

import asyncpg
import psycopg

from db.audit import CHECKS, Finding, find
from db.audit.prove import Proof, prove
from db.embedded import binary
from tests.support.database import ROOT, Url

PAGE = ROOT / "docs" / "dba.md"
SESSION = re.compile(r"<!-- psql as (\w+) -->\n```\n(.*?)```\n", re.DOTALL)
PROMPT = re.compile(r"^partywall[=\-][*!]?[#>] ", re.MULTILINE)

TASKS = """
    insert into app.tasks (id, user_id, text, "order") values
        ('0198c0de-0000-7000-8000-00000000000a', 'alice', 'Buy milk', 30),
        ('0198c0de-0000-7000-8000-00000000000b', 'bob', 'Water the plants', 10);
    insert into app.tasks (user_id, text, "order") values ('alice', 'Call Bob', 10), ('alice', 'Fix the fence', 20);
    insert into app.tasks (user_id, text) select 'carol', 'Task ' || n from generate_series(1, 449) as n;
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


def sessions(page: Path) -> list[tuple[str, str]]:
    return SESSION.findall(page.read_text())


def replay(session: str, role: str, url: Url) -> str:
    """Return a session as it goes today, with the prompts of the page."""
    prompts = {PROMPT.sub("", line): line for line in session.splitlines() if PROMPT.match(line)}
    login, become = ("app_migrator", role) if role == "app_owner" else (role, None)
    shown = run("".join(f"{statement}\n" for statement in prompts), url(login), become)
    lines = [prompts.get(line, line).rstrip() for line in shown.splitlines()]
    return "\n".join(lines).rstrip() + "\n"


def test_the_sessions_on_the_page_go_as_they_are_shown(admin: psycopg.Connection, url: Url) -> None:
    admin.execute(TASKS)
    admin.commit()
    found = sessions(PAGE)
    assert len(found) > 5
    for role, session in found:
        assert replay(session, role, url) == session


def test_the_recipe_makes_a_walled_table(url: Url) -> None:
    [recipe] = re.findall(r"<!-- recipe -->\n```sql\n(.*?)```\n", PAGE.read_text(), re.DOTALL)
    with psycopg.connect(url("app_migrator")) as migrator:
        migrator.execute("set role app_owner")
        migrator.execute(recipe)

    async def look() -> tuple[list[Finding], Proof]:
        connection = await asyncpg.connect(url("app_api"))
        found = await find(connection), await prove(connection)
        await connection.close()
        return found

    findings, proof = asyncio.run(look())
    assert (findings, proof.findings) == ([], [])
    assert {attempt.table for attempt in proof.attempts} >= {"session", "app.tasks", "app.notes"}
    assert "refer to a row of another in app.tasks" in {attempt.attempt for attempt in proof.attempts}


def test_every_check_is_on_the_page_with_its_level() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (error|warning|error or warning) \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == sorted(CHECKS)
    for name, levels in rows:
        assert {level for level in ("error", "warning") if f"'{level}'" in CHECKS[name]} == set(levels.split(" or "))
