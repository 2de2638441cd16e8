"""How long one user's requests take while the table grows, and while the user's own list grows.

Two runs that are ten minutes apart differ by more than what is measured here. So each step is measured in turns with a
control, a database that keeps the first step's size, and what is reported is the ratio of the two.
"""

from collections.abc import Callable, Sequence

import click
import psycopg

from api.http.pages import ID
from api.tasks.routes import TASK
from benchmarks.load import LIST, READS
from benchmarks.measure import Part, Run, Size, in_turns, run_wrk, spread
from benchmarks.servers import PARTYWALL, Contender, serving
from benchmarks.stage import Rows, Stage

CONTROL, GROWING = "control", "growing"
UNTIL_GENERIC = 6  # PostgreSQL plans the first five executions for their parameters


def growth(stage: Stage, size: Size, _peers: Sequence[Contender]) -> Part:
    """Measure one user's reads at each size; return times, plans and buffers."""
    return {
        "table": [_step(stage, size, rows, size.tables[0]) for rows in size.tables],
        "own_list": [_step(stage, size, rows, size.lists[0]) for rows in size.lists],
    }


def _step(stage: Stage, size: Size, rows: Rows, first: Rows) -> Part:
    click.echo(f"growth: loading {rows.total:,} rows, {rows.tasks:,} per user")
    stage.make_database(CONTROL, first)
    stage.make_database(GROWING, rows)
    measured = beside_control(stage, size, f"{rows.total:,} rows", (first, rows))
    newest = f"'bench-0', 51, '{ID.highest}'"
    one = f"'bench-0', '{rows.task_id(0, rows.tasks // 2)}'"
    url = stage.cluster.url(PARTYWALL.role, GROWING)
    for scenario, query, arguments in (("list_50", LIST, newest), ("read_one", TASK.read, one)):
        measured[scenario] |= explain(url, query, arguments)
    return {"rows": rows.total, "rows_per_user": rows.tasks, **measured}


def beside_control(
    stage: Stage, size: Size, title: str, rows: tuple[Rows, Rows], within: Callable[[Run], Run] = lambda run: run
) -> Part:
    """Measure one user's reads in the growing database and in the control; return them with the ratio of the times."""
    urls = [stage.cluster.url(PARTYWALL.role, name) for name in (CONTROL, GROWING)]
    with serving(stage, PARTYWALL, urls[0]) as control, serving(stage, PARTYWALL, urls[1]) as growing:
        runs = {
            CONTROL: within(run_wrk(stage, control, CONTROL, rows[0], callers=1)),
            GROWING: within(run_wrk(stage, growing, GROWING, rows[1], callers=1)),
        }
        measured = in_turns(stage.processes, title, dict.fromkeys(READS, runs), size)
    for scenario in READS:
        contenders = measured[scenario]["contenders"]
        before, now = (contenders[name]["requests_per_second"]["rounds"] for name in runs)
        ratios = [first / second for first, second in zip(before, now, strict=True)]
        measured[scenario]["time_ratio"] = spread(ratios, digits=3)
    return measured


def explain(url: str, query: str, arguments: str, workspace_id: str = "") -> Part:
    """Return the generic plan, which a pooled connection ends up with, and the buffers that it touches when cached."""
    with psycopg.connect(url, prepare_threshold=None) as connection:
        connection.execute("set local app.user_id = 'bench-0'")
        connection.execute(f"set local app.workspace_id = '{workspace_id}'".encode())
        connection.execute(f"prepare q as {query}".encode())
        execute = f"execute q({arguments})"
        for _ in range(UNTIL_GENERIC):
            connection.execute(execute.encode())
        options = "analyze, buffers, costs off, summary off, timing off"
        plan = connection.execute(f"explain ({options}) {execute}".encode()).fetchall()
        [[[as_json]]] = connection.execute(f"explain (analyze, buffers, format json) {execute}".encode()).fetchall()
    root = as_json["Plan"]
    return {
        "buffers": root["Shared Hit Blocks"] + root["Shared Read Blocks"],
        "execution_ms": as_json["Execution Time"],
        "plan": [line for (line,) in plan],
    }
