"""Row-level security where the rows are: on the shards of every node, also when they move and when nodes are added."""

from collections.abc import Iterator
from typing import NamedTuple

import httpx2
import psycopg
import pytest
from psycopg import errors, sql

from tests.support.citus import CITUS_SQL, Cluster, register, run_on
from tests.support.tasks import add
from tests.support.workspaces import InWorkspace, create_workspace

# On each node for itself; of a reference table every node has one.
SHARDS = """
select s.logicalrelid::text as table, c.oid::regclass::text as shard
from pg_dist_shard as s
join pg_class as t on t.oid = s.logicalrelid
join pg_class as c on c.relnamespace = t.relnamespace and c.relname = t.relname || '_' || s.shardid
"""
# Policies name what they call, so their text says what they are.
POLICIES = """
select polrelid::regclass::text, relrowsecurity, relforcerowsecurity, polname, polcmd, polpermissive,
    array(select role::regrole::text from unnest(polroles) as role order by 1), pg_get_expr(polqual, polrelid),
    pg_get_expr(polwithcheck, polrelid)
from pg_policy join pg_class on pg_class.oid = polrelid
"""
VISIBLE = "-c citus.override_table_visibility=off"  # the shards, which Citus hides


class Tasks(NamedTuple):
    """What Alice has read of her tasks, and of those in a workspace of hers."""

    workspace: str
    own: list[httpx2.Response]
    shared: list[httpx2.Response]


@pytest.fixture
def tasks(alice: httpx2.Client, base_url: str) -> Tasks:
    """Let Alice add some of each."""
    workspace = create_workspace(alice)["id"]
    with InWorkspace(base_url, "alice", workspace) as shared:
        own, theirs = [[client.get(f"/tasks/{add(client)['id']}") for _ in range(3)] for client in (alice, shared)]
    return Tasks(workspace, own, theirs)


def shards(cluster: Cluster) -> Iterator[tuple[int, str, str]]:
    """Yield the node, the table and the name of each shard."""
    for node, found in enumerate(cluster.on_each(SHARDS, options=VISIBLE)):
        for table, shard in found:
            yield node, table, shard


def rows_of(cluster: Cluster, user: str, *settings: str) -> dict[str, int]:
    """Return how many rows app_api sees as a user on the shards of all nodes, by table."""
    counts: dict[str, int] = {}
    for node, table, shard in shards(cluster):
        with psycopg.connect(cluster.url("app_api", node), options=VISIBLE) as connection:
            for setting in (f"app.user_id = '{user}'", *settings):
                connection.execute(f"set local {setting}".encode())
            [(count,)] = connection.execute(sql.SQL("select count(*) from {}").format(sql.SQL(shard)))
            counts[table] = counts.get(table, 0) + count
    return counts


def assert_isolated(cluster: Cluster, workspace: str) -> None:
    """See that on every node Alice has her rows, and neither Bob nor nobody has any."""
    mine = rows_of(cluster, "alice", f"app.workspace_id = '{workspace}'")
    assert (mine["app.tasks"], mine["app.workspace_tasks"]) == (3, 3)
    for stranger in ("bob", ""):
        for settings in ((), (f"app.workspace_id = '{workspace}'",)):
            assert set(rows_of(cluster, stranger, *settings).values()) == {0}


def assert_same_policies(cluster: Cluster) -> None:
    """See that every shard has exactly the policies of its table."""
    policies = [
        {shard: sorted(repr(policy) for name, *policy in rows if name == shard) for shard, *_ in rows}
        for rows in cluster.on_each(POLICIES, options=VISIBLE)
    ]
    tables = policies[0]
    assert len(tables) >= 6
    for node, table, shard in shards(cluster):
        assert policies[node][shard] == tables[table], shard


def assert_unchanged(base_url: str, alice: httpx2.Client, tasks: Tasks) -> None:
    """See that each task still has its ETag."""
    with InWorkspace(base_url, "alice", tasks.workspace) as shared:
        for client, before in ((alice, tasks.own), (shared, tasks.shared)):
            for task in before:
                path, etag = f"/tasks/{task.json()['id']}", task.headers["etag"]
                assert client.get(path, headers={"If-None-Match": etag}).status_code == 304


def test_a_session_on_a_worker_sees_no_row_of_another_user(cluster: Cluster, tasks: Tasks) -> None:
    assert_same_policies(cluster)
    assert_isolated(cluster, tasks.workspace)


def test_isolation_and_etags_survive_that_shards_move(
    cluster: Cluster, admin: psycopg.Connection, base_url: str, alice: httpx2.Client, tasks: Tasks
) -> None:
    one, other = [(node["host"], node["port"]) for node in cluster.nodes[1:3]]
    moved = admin.execute(
        "select citus_move_shard_placement(shardid, nodename, nodeport, case nodeport when %s then %s else %s end,"
        " case nodeport when %s then %s else %s end, 'block_writes') from pg_dist_shard_placement"
        " where shardid in (select min(shardid) from pg_dist_shard_placement join pg_dist_shard using (shardid)"
        "     join pg_dist_partition using (logicalrelid) where partmethod = 'h' group by colocationid, nodeport)",
        [one[1], other[0], one[0], one[1], other[1], one[1]],
    ).fetchall()
    assert len(moved) == 4  # of both groups of tables, from each worker to the other
    admin.execute("call citus_cleanup_orphaned_resources()")  # where the shards were: else after a while
    assert_unchanged(base_url, alice, tasks)
    assert_same_policies(cluster)
    assert_isolated(cluster, tasks.workspace)


def test_a_node_that_is_added_has_the_policies_and_the_rights(
    cluster: Cluster, admin: psycopg.Connection, base_url: str, alice: httpx2.Client, tasks: Tasks
) -> None:
    last = cluster.nodes[-1]
    where = [last["host"], last["port"]]
    admin.execute("select citus_drain_node(%s, %s, 'block_writes')", where)
    admin.execute("select citus_remove_node(%s, %s)", where)
    run_on([last], "drop database {} with (force)", cluster.database)
    run_on([last], "create database {}", cluster.database)
    run_on([last], "create extension citus", dbname=cluster.database)

    register([cluster.nodes[0], last], admin)
    admin.execute(CITUS_SQL.read_bytes())
    admin.execute("select rebalance_table_shards(shard_transfer_mode => 'block_writes')")
    assert {node for node, _, _ in shards(cluster)} == set(range(len(cluster.nodes)))
    assert_unchanged(base_url, alice, tasks)
    assert_same_policies(cluster)
    assert_isolated(cluster, tasks.workspace)
    assert_nobody_becomes_another_caller(cluster)


ATTACKS = (
    "select set_config('app.user_id', 'bob', true)",
    "do 'begin end'",
    "select citus_run_local_command('set local app.user_id = ''bob''')",
    "select run_command_on_workers('set app.user_id = ''bob''')",
    "select run_command_on_all_nodes('set app.user_id = ''bob''')",
    "select run_command_on_coordinator('set app.user_id = ''bob''')",
    "select run_command_on_shards('app.tasks', 'set app.user_id = ''bob''')",
    "select run_command_on_placements('app.tasks', 'set app.user_id = ''bob''')",
    "select master_run_on_worker(array['localhost'], array[5432], array['set app.user_id = ''bob'''], false)",
    "select worker_create_or_replace_object('create function pg_temp.f() returns int language sql return 1')",
    "select worker_apply_shard_ddl_command(1, 'app', 'drop table tasks')",
    "select citus_stat_activity()",
)


def assert_nobody_becomes_another_caller(cluster: Cluster) -> None:
    """See that on no node an expression can run a statement of its own."""
    for node in range(len(cluster.nodes)):
        with psycopg.connect(cluster.url("app_api", node), autocommit=True) as connection:
            for attack in ATTACKS:
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute(attack.encode())


def test_from_inside_a_query_nobody_becomes_another_caller_on_any_node(cluster: Cluster) -> None:
    assert_nobody_becomes_another_caller(cluster)
