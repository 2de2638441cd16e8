"""How long one user's requests take while the table grows, and while the user's own list grows.

Two runs that are ten minutes apart differ by more than what is measured here. So each step is measured in turns with a
control, a database that keeps the first step's size, and what is reported is the ratio of the two.
"""

from collections.abc import Sequence

import click
import psycopg

from api.http.pages import ID
from api.tasks.routes import TASK
from benchmarks.load import LIST, READS
from benchmarks.measure import Part, Size, in_turns, run_wrk, spread
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
    control_url, growing_url = (stage.cluster.url(PARTYWALL.role, name) for name in (CONTROL, GROWING))
    with serving(stage, PARTYWALL, control_url) as control, serving(stage, PARTYWALL, growing_url) as growing:
        runs = {
            CONTROL: run_wrk(stage, control, CONTROL, first, callers=1),
            GROWING: run_wrk(stage, growing, GROWING, rows, callers=1),
        }
        measured = in_turns(stage.processes, f"{rows.total:,} rows", dict.fromkeys(READS, runs), size)
    newest = f"'bench-0', 51, '{ID.highest}'"
    one = f"'bench-0', '{rows.task_id(0, rows.tasks // 2)}'"
    for scenario, query, arguments in (("list_50", LIST, newest), ("read_one", TASK.read, one)):
        contenders = measured[scenario]["contenders"]
        pace = {name: contenders[name]["requests_per_second"]["rounds"] for name in runs}
        measured[scenario]["time_ratio"] = spread(
            [before / now for before, now in zip(pace[CONTROL], pace[GROWING], strict=True)], digits=3
        )
        measured[scenario] |= explain(growing_url, query, arguments)
    return {"rows": rows.total, "rows_per_user": rows.tasks, **measured}


def explain(url: str, query: str, arguments: str) -> Part:
    """Return the generic plan, which a pooled connection ends up with, and the buffers that it touches when cached."""
    with psycopg.connect(url, prepare_threshold=None) as connection:
        connection.execute("set local app.user_id = 'bench-0'")
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
