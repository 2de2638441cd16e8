"""How often a statement evaluates app.current_workspace_id(): read in the plan, and counted, with 100,000 rows.

While it makes a plan, the planner evaluates it too, to estimate how many rows there are: that is not counted here.
"""

import re
from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor

from tests.support.members import EDITOR, HOME, OWNER, WORK, WORKSPACES, Caller, begin
from tests.support.waiting import eventually

DATABASE = "partywall_plans"
ROWS = 100_000  # of Home: all but a few of the table
FEW = 20  # of Work
TASKS = """
    insert into app.workspace_tasks (workspace_id, user_id, text, "order")
    select '{}', 'bob', 'Task ' || n, n from generate_series(1, {}) as n;
"""
FILL = f"""
    delete from app.workspace_tasks;
    alter table app.workspace_tasks set (autovacuum_enabled = off);
    insert into app.workspaces (name) select 'Of nobody here' from generate_series(1, 2000);
    {TASKS.format(WORK, FEW)} {{when}}; {TASKS.format(HOME, ROWS)} {{then}};
"""
STATISTICS = {
    "never analyzed": FILL.format(when="select", then="select"),
    "analyzed": FILL.format(when="select", then="analyze"),
    "analyzed when there were few rows": FILL.format(when="analyze", then="select"),
    # The indexes stay as large as they were, so the planner takes them for expensive.
    "analyzed when few rows were left": FILL.format(
        when="select", then=f'delete from app.workspace_tasks where "order" > {FEW}; vacuum analyze app.workspace_tasks'
    ),
}

# Without the tenant in a condition, as a statement would be that forgets it.
STATEMENTS = {
    "all": "select * from app.workspace_tasks",
    "how many": "select count(*) from app.workspace_tasks",
    "in the order of the list": 'select * from app.workspace_tasks order by "order", id',
    "in another order": "select * from app.workspace_tasks order by text desc",
    "with a condition that is not leakproof": "select * from app.workspace_tasks where text like '%7'",
    "with a leakproof condition": "select * from app.workspace_tasks where not completed",
    "a page": 'select * from app.workspace_tasks order by "order", id limit 50',
    "groups": "select completed, max(text) from app.workspace_tasks group by completed",
    "a join": 'select t.* from app.workspace_tasks as t join generate_series(1, 200) as n on t."order" = n',
    "delete all": "delete from app.workspace_tasks",
}
# As the API writes them: the tenant is $1.
NAMED = {
    "a page": ('select * from app.workspace_tasks where workspace_id = $1 order by "order", id limit 50', ""),
    "the next page": (
        """select * from app.workspace_tasks where workspace_id = $1 and ("order", id) > ($2, $3)
        order by "order", id limit 50""",
        f", 5, '{HOME}'",
    ),
    "how many": ("select count(*) from app.workspace_tasks where workspace_id = $1", ""),
    "one by its id": ("select * from app.workspace_tasks where workspace_id = $1 and id = $2", f", '{HOME}'"),
    "many by their ids": (
        """select t.* from app.workspace_tasks as t join unnest($2::uuid[]) as i (id) on t.id = i.id
        where t.workspace_id = $1""",
        f", array_fill('{HOME}'::uuid, array[20])",
    ),
}
NESTED = "set local enable_hashjoin = off; set local enable_mergejoin = off"
analyzed = pytest.mark.parametrize("table", ["analyzed"], indirect=True)
PARALLEL = """
    set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0; set local max_parallel_workers_per_gather = 2;
    set local min_parallel_table_scan_size = 0; set local min_parallel_index_scan_size = 0;
"""
CALLED = "app.current_workspace_id"
CALLERS = {"nearly all rows": OWNER, "few rows": Caller("bob", WORK)}


@pytest.fixture(scope="module", params=STATISTICS)
def table(migrated: NoopExecutor, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """Return app_api's connection to a database with many tasks, in which calls of functions are counted."""
    where = {name: getattr(migrated, name) for name in ("host", "port", "user", "password")}
    janitor = DatabaseJanitor(**where, dbname=DATABASE, template_dbname=migrated.template_dbname)
    with janitor, psycopg.connect(**where, dbname=DATABASE, autocommit=True, prepare_threshold=None) as connection:
        for statement in f"{WORKSPACES} {STATISTICS[request.param]}".split(";"):  # vacuum has to be alone
            connection.execute(statement.encode() or "select")
        connection.execute("set track_functions = 'all'; set role app_api; set statement_timeout = 0")
        yield connection


def calls(connection: psycopg.Connection) -> int:
    """Return how often the function was called so far, or the one that lists the caller's workspaces."""
    [(number,)] = connection.execute("""
        select coalesce(sum(calls), 0) from pg_stat_xact_user_functions
        where funcname in ('current_workspace_id', 'current_workspace_ids')
    """).fetchall()
    return int(number)


def calls_of(connection: psycopg.Connection, caller: Caller, statement: str, before: str = "") -> tuple[int, str]:
    """Return how often a statement calls the function while it runs, and its plan."""
    begin(connection, caller)
    try:
        connection.execute(before.encode())
        counts = [calls(connection)]
        plan = "\n".join(line for (line,) in connection.execute(f"explain (costs off) {statement}".encode()))
        counts.append(calls(connection))
        connection.execute(statement.encode())
        counts.append(calls(connection))
    finally:
        connection.execute("rollback")
    planned, planned_and_run = counts[1] - counts[0], counts[2] - counts[1]
    return planned_and_run - planned, plan


def assert_not_per_row(plan: str) -> None:
    """See that the plan compares with the function before it reads a row."""
    lines = [line.strip() for line in plan.splitlines() if CALLED in line]
    assert lines
    assert [line for line in lines if not re.match("Index Cond|One-Time Filter", line)] == []


@pytest.mark.parametrize("whose", CALLERS)
@pytest.mark.parametrize("statement", STATEMENTS)
def test_once_for_a_statement_that_forgets_its_workspace(table: psycopg.Connection, statement: str, whose: str) -> None:
    number, plan = calls_of(table, CALLERS[whose], STATEMENTS[statement])
    assert_not_per_row(plan)
    assert number == 1


@pytest.mark.parametrize("acting_in", [None, HOME, WORK])
def test_once_for_the_list_of_ones_workspaces(table: psycopg.Connection, acting_in: UUID | None) -> None:
    number, plan = calls_of(table, Caller("alice", acting_in), "select * from app.workspaces")
    assert_not_per_row(plan)
    assert number == 1


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan", "auto"])
@pytest.mark.parametrize("statement", NAMED)
def test_once_for_a_statement_that_names_its_workspace_whatever_the_plan(
    table: psycopg.Connection, statement: str, mode: str
) -> None:
    query, arguments = NAMED[statement]
    for caller in CALLERS.values():
        run = f"execute named('{caller.workspace_id}'{arguments})"
        table.execute("deallocate all")
        before = f"{NESTED}; set local plan_cache_mode = {mode}; prepare named as {query}; {run}; {run}"
        number, plan = calls_of(table, caller, run, before)
        assert_not_per_row(plan)
        assert "One-Time Filter: " in plan
        assert number == 1


@analyzed
def test_once_per_process_of_a_parallel_plan(table: psycopg.Connection) -> None:
    def number() -> int:
        """Return how often all processes have called it."""
        query = "select coalesce(sum(calls), 0) from pg_stat_user_functions where funcname = 'current_workspace_id'"
        [(found,)] = table.execute(query).fetchall()
        return int(found)

    table.execute("select pg_stat_force_next_flush()")
    before = number()
    begin(table, OWNER)
    table.execute(PARALLEL)
    statement = "select text from app.workspace_tasks order by text desc"
    plan = "\n".join(line for (line,) in table.execute(f"explain (analyze, costs off) {statement}".encode()))
    table.execute("select pg_stat_force_next_flush()")
    table.execute("commit")

    assert_not_per_row(plan)
    assert (workers := re.search(r"Workers Launched: (\d)", plan))
    eventually(lambda: number() > before + 1)  # one call was the planner's
    assert number() <= before + 2 + int(workers[1])


@analyzed
def test_once_per_scan_of_a_nested_loop_that_forgets_its_workspace(table: psycopg.Connection) -> None:
    """The planner avoids it where it can. Every statement of the API names its workspace."""
    query = """
        select t.* from generate_series(1, 200) as n
        cross join lateral (select * from app.workspace_tasks where "order" = n offset 0) as t
    """
    number, plan = calls_of(table, OWNER, query)
    assert_not_per_row(plan)
    assert number == 200


# How often for each row that is written: WITH CHECK of the command, the same of SELECT's policy if the statement reads
# columns, the default of the column. How often before: the policies of the command and of SELECT, one of them twice,
# since they are compared with each other, and with the rows.
WRITES = {
    "update app.workspace_tasks set completed = true": (1, 1),
    "update app.workspace_tasks set completed = true where not completed": (2, 3),
    "update app.workspace_tasks set completed = not completed": (2, 3),
    "update app.workspace_tasks set completed = true returning id": (2, 3),
    f"insert into app.workspace_tasks (text) select 'Cook' from generate_series(1, {FEW})": (2, 0),
    f"insert into app.workspace_tasks (text) select 'Cook' from generate_series(1, {FEW}) returning id": (3, 0),
    "delete from app.workspace_tasks where not completed returning id": (0, 3),
}


@analyzed
@pytest.mark.parametrize("statement", WRITES)
def test_once_more_for_each_row_that_is_written(table: psycopg.Connection, statement: str) -> None:
    per_row, per_scan = WRITES[statement]
    number, _ = calls_of(table, Caller("bob", WORK), statement)
    assert number == FEW * per_row + per_scan


@analyzed
def test_once_more_for_each_member_who_is_removed_by_somebody_else(table: psycopg.Connection) -> None:
    remove = f"delete from app.members where workspace_id = '{HOME}' and user_id <> 'alice'"
    assert calls_of(table, OWNER, remove)[0] == 1 + 2
    assert calls_of(table, EDITOR, remove)[0] == 1 + 1
    assert calls_of(table, EDITOR, f"delete from app.members where user_id = '{EDITOR.user_id}'")[0] == 1
