"""The load generators: wrk for the APIs, pgbench for the database alone."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.http.pages import ID, statement
from api.tasks.list import TASKS
from api.tasks.routes import INSERT, TASK, UPDATE
from benchmarks.calls import DOCUMENTS
from benchmarks.servers import Server
from benchmarks.stage import BenchmarkError, Rows, Stage
from db.embedded import binary

CONNECTIONS = 16
READS = ("list_50", "read_one")
WRITES = ("create", "patch", "mixed")
SCENARIOS = READS + WRITES

LIST = statement(TASKS, "-created", ())


@dataclass(frozen=True)
class Load:
    """The result of one run. pgbench reports no percentiles."""

    requests: int
    per_second: float
    p50_ms: float | None = None
    p99_ms: float | None = None


def wrk(stage: Stage, server: Server, scenario: str, rows: Rows, *, seconds: int, callers: int | None = None) -> Load:
    """Send the requests of a scenario, as all users or the first few. Raises BenchmarkError for a wrong response."""
    script = Path(__file__).with_name("load.lua")
    command = ["wrk", "--threads=1", f"--connections={CONNECTIONS}", f"--duration={seconds}s", "--timeout=10s"]
    command += [f"--script={script}", server.url, "--", scenario]
    command += [str(rows.users), str(rows.tasks), str(stage.tokens(callers or rows.users))]
    command += [DOCUMENTS[scenario]] if server.contender.graphql else []
    output = _run(command)
    result = json.loads(output.splitlines()[-1])
    if result["failures"] or not result["requests"]:
        raise BenchmarkError(
            f"{server.contender.name}, {scenario}: {result['failures']} wrong responses, such as: {result['failure']}"
        )
    return Load(result["requests"], result["requests"] / result["seconds"], result["p50_ms"], result["p99_ms"])


def pgbench(
    stage: Stage, database: str, scenario: str, rows: Rows, *, seconds: int, scripts: Mapping[str, str] | None = None
) -> Load:
    """Run the transactions of a scenario as app_api: those of TRANSACTIONS, or of `scripts`.

    Raises BenchmarkError if one failed.
    """
    weights = {"list_50": 70, "read_one": 20, "create": 5, "patch": 5} if scenario == "mixed" else {scenario: 1}
    command = [binary("pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={CONNECTIONS}", f"--time={seconds}"]
    command += [f"--define=last_user={rows.users - 1}", f"--define=last_task={rows.tasks - 1}"]
    command += [f"--define=users={rows.users}"]
    for name, weight in weights.items():
        script = stage.directory / f"{name}.sql"
        script.write_text((scripts or TRANSACTIONS)[name])
        command.append(f"--file={script}@{weight}")
    output = _run([*command, stage.cluster.url("app_api", database)])
    requests, failed = (int(_find(pattern, output)) for pattern in (r"actually processed: (\d+)", r"failed.*: (\d+) "))
    if failed or not requests:
        raise BenchmarkError(f"pgbench, {scenario}: {failed} failed transactions:\n{output}")
    return Load(requests, float(_find(r"tps = ([\d.]+)", output)))


def check_wrk() -> None:
    """Raise BenchmarkError if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise BenchmarkError("wrk is missing: apt-get install wrk (Debian, Ubuntu), brew install wrk (macOS)")


def transaction(query: str, *arguments: str, mode: str = "read only", workspace: str = "") -> str:
    """Return a script of three round trips, like those of a session, in a workspace if there is one.

    `set local` takes no parameters, and with a literal for each user it could not be a prepared statement. Hence
    `set_config()`, sent together with `begin`.
    """
    context = f", set_config('app.workspace_id', {workspace}::text, true)" if workspace else ""
    for number, argument in reversed([*enumerate(arguments, 1)]):
        query = query.replace(f"${number}", argument)
    return f"""
        \\set user random(0, :last_user)
        \\set task random(0, :last_task) * :users + :user
        \\startpipeline
        begin {mode};
        select set_config('app.user_id', 'bench-' || :user, true){context};
        \\endpipeline
        {" ".join(query.split())};
        commit;
    """


TASK_ID = "('01900000-0000-7000-8000-' || lpad(to_hex(:task::int), 12, '0'))::uuid"
_USER = "('bench-' || :user)"
_TEXT = "'Call the plumber about the leak, 00000000'"
TRANSACTIONS = {
    "list_50": transaction(LIST, _USER, "51", f"'{ID.highest}'"),
    "read_one": transaction(TASK.read, _USER, TASK_ID),
    "create": transaction(INSERT, _TEXT, "false", "1000", mode="read write"),
    "patch": transaction(
        UPDATE, _USER, TASK_ID, "null", "null", _TEXT, "null::boolean", "null::int", mode="read write"
    ),
}


def _find(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    if match is None:
        raise BenchmarkError(f"pgbench printed nothing like {pattern}:\n{output}")
    return match[1]


def _run(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BenchmarkError(f"{command[0]} failed: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout
