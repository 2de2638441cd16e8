"""What it costs to share: tasks of a workspace beside a user's own, many members, and the usual ways to write it."""

from collections.abc import Sequence

import click

from api.http.pages import ID, statement
from api.workspace_tasks.list import WORKSPACE_TASKS
from api.workspace_tasks.routes import TASK
from benchmarks.growth import CONTROL, GROWING, beside_control, explain
from benchmarks.load import READS, TASK_ID, Load, transaction
from benchmarks.measure import Part, Run, Size, in_turns, run_pgbench, run_wrk
from benchmarks.servers import PARTYWALL, Contender, serving
from benchmarks.stage import OWN, SHARED, Rows, Stage

DATABASE = "bench"
FEW, MANY = 10, 10_000  # members
LIST = statement(WORKSPACE_TASKS, "-created", ())
_WORKSPACE = "('01900000-0000-7000-9000-' || lpad(to_hex(:user::int), 12, '0'))::uuid"

# The usual ways, in the place of our policies: every caller is a member of one workspace, so all return the same rows.
SUB_SELECT = """
drop policy members_are_read_by_members on app.members;
create policy own on app.members for select to app_api using (user_id = app.current_user_id());
alter policy workspace_tasks_are_read_by_members on app.workspace_tasks using (
    workspace_id in (select workspace_id from app.members where user_id = app.current_user_id())
);
"""
PER_ROW = """
create function app.is_member(workspace_id uuid) returns boolean
language sql stable security definer set search_path = ''
return exists (
    select from app.members as m where m.workspace_id = is_member.workspace_id and m.user_id = app.current_user_id()
);
alter function app.is_member(uuid) owner to app_owner;
grant execute on function app.is_member(uuid) to app_api;
alter policy workspace_tasks_are_read_by_members on app.workspace_tasks using (app.is_member(workspace_id));
"""
WAYS = {"policy": "", "sub_select": SUB_SELECT, "per_row": PER_ROW}
# As the API writes them, and as somebody writes them who leaves it to the policy.
STATEMENTS = {
    "list_50": transaction(LIST, _WORKSPACE, "51", f"'{ID.highest}'", workspace=_WORKSPACE),
    "read_one": transaction(TASK.read, _WORKSPACE, TASK_ID, workspace=_WORKSPACE),
    "list_50, policy alone": transaction(
        LIST.replace("t.workspace_id = $1", "true"), "", "51", f"'{ID.highest}'", workspace=_WORKSPACE
    ),
    "count, policy alone": transaction("select count(*) from app.workspace_tasks", workspace=_WORKSPACE),
}


def workspaces(stage: Stage, size: Size, _peers: Sequence[Contender]) -> Part:
    """Measure all of it."""
    return {
        "beside_tasks": _beside_tasks(stage, size),
        "members": [_step(stage, size, size.rows, size.rows, members) for members in (FEW, MANY)],
        "table": [_step(stage, size, size.tables[0], rows, FEW) for rows in (size.tables[0], size.tables[-1])],
        "usual_ways": _usual_ways(stage, size),
    }


def _in_workspace(run: Run) -> Run:
    def run_there(scenario: str, seconds: int) -> Load:
        return run(f"workspace_{scenario}", seconds)

    return run_there


def _beside_tasks(stage: Stage, size: Size) -> Part:
    stage.make_database(DATABASE, size.rows, (OWN, SHARED), members=FEW)
    with serving(stage, PARTYWALL, stage.cluster.url(PARTYWALL.role, DATABASE)) as server:
        own = run_wrk(stage, server, DATABASE, size.rows)
        runs = {"workspace": _in_workspace(own), "own": own}
        return in_turns(stage.processes, "a workspace beside a user", dict.fromkeys(READS, runs), size)


def _step(stage: Stage, size: Size, first: Rows, rows: Rows, members: int) -> Part:
    """Measure one member's reads, beside the first step of the same."""
    click.echo(f"workspaces: loading {rows.total:,} rows, {members:,} members each")
    stage.make_database(CONTROL, first, (SHARED,), members=FEW)
    stage.make_database(GROWING, rows, (SHARED,), members=members)
    title = f"{rows.total:,} rows, {members:,} members"
    measured = beside_control(stage, size, title, (first, rows), _in_workspace)
    workspace_id = "01900000-0000-7000-9000-000000000000"
    newest, one = f"'{workspace_id}', 51, '{ID.highest}'", f"'{workspace_id}', '{rows.task_id(0, rows.tasks // 2)}'"
    for scenario, query, arguments in (("list_50", LIST, newest), ("read_one", TASK.read, one)):
        url = stage.cluster.url(PARTYWALL.role, GROWING)
        measured[scenario] |= explain(url, query, arguments, workspace_id)
    return {"rows": rows.total, "rows_per_user": rows.tasks, "members": members, **measured}


def _usual_ways(stage: Stage, size: Size) -> Part:
    """Run the same statements under other policies, without an API in between."""
    runs: dict[str, Run] = {}
    for way, policies in WAYS.items():
        stage.make_database(way, size.rows, (SHARED,), members=FEW)
        if policies:
            stage.administer(way, policies)
        runs[way] = run_pgbench(stage, way, size.rows, STATEMENTS)
    return in_turns(stage.processes, "policies", dict.fromkeys(STATEMENTS, runs), size)
