"""Sessions of psql on a page of the documentation, run again."""

import os
import pty
import re
import subprocess

from db.embedded import binary
from tests.support.database import Url

SESSION = re.compile(r"(?:<!-- psql as (\w+) -->\n)?```\n(partywall=.*?)```\n", re.DOTALL)
PROMPT = re.compile(r"^partywall[=\-][*!]?[#>] ", re.MULTILINE)

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
