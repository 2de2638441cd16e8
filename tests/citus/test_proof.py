"""What the audit and its proof find on a cluster: nothing in a healthy one, and each hole on whichever node it is."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx2
import psycopg
import pytest
from click.testing import CliRunner
from psycopg import errors, sql

from api.commands.audit import audit
from db.audit import Finding, find
from db.audit.accept import FILE_ON_CITUS
from db.audit.prove import Proof, prove, prove_as_api
from db.audit.workspaces import NAME
from db.citus import ON_WORKER
from db.refusals import constraint_of, is_refused_by_policy
from tests.support.citus import Cluster, connected
from tests.support.database import alembic
from tests.support.servers import calling
from tests.support.tasks import add
from tests.support.tokens import bearer, make_token
from tests.support.waiting import eventually

HERE = "set citus.enable_ddl_propagation = off; set citus.enable_manual_changes_to_shards = on;"
OWN = "user_id = app.current_user_id()"

HOLES = {
    "every row can be read": (
        "alter policy tasks_belong_to_their_user on app.tasks using (true)",
        {"read without a condition", "read without a caller", "read another tenant's row"},
    ),
    "every row can be deleted": (
        "create policy wide on app.tasks for delete to app_api using (true)",
        {"delete without a condition", "delete without a caller"},
    ),
    "every row can be updated": (
        "create policy wide on app.tasks for update to app_api using (true) with check (true)",
        {"update without a condition", "update without a caller"},
    ),
    "every row is reached by an update, which then fails": (
        f"create policy wide on app.tasks for update to app_api using (true) with check ({OWN})",
        {"update without a condition"},
    ),
    "no policies": (
        "alter table app.tasks disable row level security",
        {"read another tenant's row", "lock another tenant's row", "delete another tenant's row"},
    ),
    "a row for another tenant": (
        "create policy wide on app.tasks for insert to app_api with check (true)",
        {"insert a row for another tenant"},
    ),
    "a viewer writes": (
        """create policy wide on app.workspace_tasks for delete to app_api
        using (workspace_id = app.current_workspace_id('viewer'))""",
        {"delete", "delete without a condition"},
    ),
    "every member can be read": (
        "create policy wide on app.members for select to app_api using (true)",
        {"select", "select rows of other workspaces", "read another tenant's row"},
    ),
    "whoever asks becomes a member": (
        """create policy wide on app.members for insert to app_api with check (true);
        grant insert on app.members to app_api""",
        {"insert oneself", "insert somebody else"},
    ),
}


def proof_of(url: str) -> Proof:
    """Return what --prove says to a login that may become app_api."""

    async def run() -> Proof:
        connection = await asyncpg.connect(url, statement_cache_size=0)
        try:
            return await prove(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def findings_of(cluster: Cluster) -> list[Finding]:
    """Return the findings of the audit."""

    async def run() -> list[Finding]:
        connection = await asyncpg.connect(cluster.url("app_api"), statement_cache_size=0)
        try:
            return await find(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def not_blocked(proof: Proof) -> set[str]:
    """Return the attempts that got through and should not have."""
    return {
        each.attempt for each in (*proof.attempts, *proof.matrix) if each.expected == "blocked" and not each.blocked
    }


def assert_nothing_is_left(admin: psycopg.Connection) -> None:
    """See that no table has a row."""
    for (table,) in admin.execute("select logicalrelid::regclass::text from pg_dist_partition").fetchall():
        assert admin.execute(sql.SQL("select count(*) from {}").format(sql.SQL(table))).fetchone() == (0,)


def shard_of(cluster: Cluster, admin: psycopg.Connection, table: str, tenant: str) -> tuple[int, str]:
    """Return the worker that has a tenant's shard, and the name of the shard."""
    [(shard, port)] = admin.execute(
        "select shardid, nodeport from pg_dist_shard_placement"
        " where shardid = get_shard_id_for_distribution_column(%s::regclass, %s::text)",
        [table, tenant],
    )
    return next(place for place, node in enumerate(cluster.nodes) if node["port"] == port), f"{table}_{shard}"


def run_there(cluster: Cluster, node: int, statement: str) -> None:
    """Run a statement on one node, which keeps it from the others, as its superuser can."""
    with connected(cluster.nodes[node], cluster.database) as connection:
        connection.execute(f"{HERE} {statement}".encode())


# ---- the proof ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["as the API", "as a superuser"])
def test_the_proof_finds_nothing_and_leaves_nothing(cluster: Cluster, admin: psycopg.Connection, way: str) -> None:
    url = cluster.url("app_api" if way == "as the API" else "postgres")
    proof = asyncio.run(prove_as_api(url)) if way == "as the API" else proof_of(url)

    assert proof.findings == []
    assert not [each for each in proof.attempts if not each.blocked]
    allowed = {(each.table, each.attempt, each.role) for each in proof.matrix if each.blocked is False}
    assert len(allowed) > 50
    assert {
        ("app.workspace_tasks", "update", "editor"),
        ("app.members", "delete oneself: leave", "viewer"),
        ("app.workspaces", "delete without a condition", "owner"),
        ("app.accept_invitation(bytea)", "accept an open invitation", "invited"),
        ("app.create_workspace(text)", "create a workspace", "outsider"),
    } <= allowed
    assert_nothing_is_left(admin)


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_found(cluster: Cluster, admin: psycopg.Connection, hole: str) -> None:
    statement, attempts = HOLES[hole]
    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'real')")
    admin.execute(statement.encode())

    proof = asyncio.run(prove_as_api(cluster.url("app_api")))

    assert attempts <= not_blocked(proof)
    assert {each.level for each in proof.findings} >= {"error"}
    assert admin.execute("select text from app.tasks").fetchall() == [("real",)]
    assert admin.execute("select from app.workspaces").fetchall() == []


def test_a_role_without_policies_is_found(cluster: Cluster, admin: psycopg.Connection) -> None:
    admin.execute("alter role app_api bypassrls")
    try:
        proof = asyncio.run(prove_as_api(cluster.url("app_api")))
        names = {finding.name for finding in findings_of(cluster)}
    finally:
        admin.execute("alter role app_api nobypassrls")

    assert {"read another tenant's row", "select rows of other workspaces"} <= not_blocked(proof)
    assert "role_attribute" in names


def test_a_tenant_column_that_may_be_updated_is_named_although_citus_updates_none(
    cluster: Cluster, admin: psycopg.Connection
) -> None:
    admin.execute("grant update (user_id) on app.tasks to app_api")
    assert "grant_protected_column:app.tasks.user_id" in {finding.key for finding in findings_of(cluster)}


@pytest.fixture
def proving(cluster: Cluster, admin: psycopg.Connection) -> Iterator[subprocess.Popen[str]]:
    """Give a run of `partywall audit --prove` that has made workspaces."""
    command = [sys.executable, "-c", "from api.commands.main import main; main()", "audit", "--prove"]
    environment = os.environ | {"DATABASE_URL": cluster.url("app_api")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        eventually(lambda: admin.execute("select count(*) >= 4 from app.workspaces").fetchone() == (True,))
        yield run
        run.kill()


def test_an_interrupted_proof_leaves_nothing(proving: subprocess.Popen[str], admin: psycopg.Connection) -> None:
    proving.send_signal(signal.SIGINT)
    proving.communicate(timeout=30)
    assert proving.returncode != 0
    assert_nothing_is_left(admin)


def test_what_a_killed_proof_leaves_is_seen_by_nobody_and_removed_by_its_name(
    proving: subprocess.Popen[str], cluster: Cluster, admin: psycopg.Connection
) -> None:
    proving.kill()
    proving.communicate(timeout=30)
    with calling(cluster.url("app_api")) as client:
        assert client.get("/workspaces", headers=bearer(make_token("alice"))).json()["items"] == []

    admin.execute("delete from app.workspaces where name = %s", [NAME])
    assert_nothing_is_left(admin)


# ---- what is not the same on all nodes ---------------------------------------------------------------


def test_a_policy_that_was_changed_on_one_shard_is_found(cluster: Cluster, admin: psycopg.Connection) -> None:
    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'real')")
    node, shard = shard_of(cluster, admin, "app.tasks", "alice")
    run_there(cluster, node, f"alter policy tasks_belong_to_their_user on {shard} using (true)")

    [finding] = findings_of(cluster)
    proof = asyncio.run(prove_as_api(cluster.url("app_api")))

    assert (finding.name, finding.level, finding.object) == ("changed", "error", "table app.tasks")
    assert shard.removeprefix("app.") in finding.detail
    assert "read without a condition" in not_blocked(proof)


def changes_of_a_worker(shard: str) -> list[tuple[str, str, str]]:
    """Return what the superuser of a worker may change, how it is undone, and the object that it is about."""
    tasks, members, routine = "table app.tasks", "table app.members", "routine app.current_user_id()"
    function = routine.replace("routine", "function")
    return [
        (f"alter table {shard} no force row level security", f"alter table {shard} force row level security", tasks),
        (f"alter table {shard} disable row level security", f"alter table {shard} enable row level security", tasks),
        (f"create policy wide on {shard} for select using (true)", f"drop policy wide on {shard}", tasks),
        (f"grant truncate on {shard} to app_api", f"revoke truncate on {shard} from app_api", tasks),
        (f"grant update (id) on {shard} to app_api", f"revoke update (id) on {shard} from app_api", tasks),
        (
            "grant truncate on app.members to app_api",
            "revoke truncate on app.members from app_api",
            members,
        ),
        (
            f"alter {function} owner to postgres",
            f"alter {function} owner to app_owner",
            "routine app.current_user_id()",
        ),
        (f"alter {function} immutable", f"alter {function} stable", "routine app.current_user_id()"),
        *(
            (f"grant {right} to public", f"revoke {right} from public", "rights of app_api")
            for right in (
                "execute on function citus_run_local_command(text)",
                "execute on function set_config(text, text, boolean)",
                "usage on language plpgsql",
            )
        ),
        ("alter role app_api bypassrls", "alter role app_api nobypassrls", "role app_api"),
        ("alter role app_owner bypassrls", "alter role app_owner nobypassrls", "role app_owner"),
        ("alter role app_api set role = app_owner", "alter role app_api reset role", "role app_api"),
    ]


def test_what_is_changed_on_a_worker_only_is_found(cluster: Cluster, admin: psycopg.Connection) -> None:
    node, shard = shard_of(cluster, admin, "app.tasks", "alice")
    missed = []
    for change, undo, object_ in changes_of_a_worker(shard):
        run_there(cluster, node, change)
        found = [(each.level, each.object) for each in findings_of(cluster)]
        run_there(cluster, node, undo)
        missed += [(change, found)] * (found != [("error", object_)])
    assert missed == []
    assert findings_of(cluster) == []


def test_a_statement_that_runs_any_is_named_where_public_may_execute_it(
    cluster: Cluster, admin: psycopg.Connection
) -> None:
    admin.execute(f"{HERE} grant execute on function citus_run_local_command(text) to public")
    assert {("unexpected", "extension citus")} <= {(each.name, each.object) for each in findings_of(cluster)}


# ---- what app_api can do with Citus itself -----------------------------------------------------------


def test_app_api_may_execute_only_what_citus_calls_by_itself(cluster: Cluster) -> None:
    executable = cluster.on_each(
        "select proname::text from pg_proc as p"
        " join pg_depend as d on d.objid = p.oid and d.classid = 'pg_proc'::regclass"
        " join pg_extension as e on e.oid = d.refobjid and d.deptype = 'e' and e.extname like 'citus%'"
        " where has_function_privilege('app_api', p.oid, 'execute') order by 1"
    )
    assert {name for node in executable for (name,) in node} == {
        "assign_distributed_transaction_id",
        "lock_shard_metadata",
        "lock_shard_resources",
        "read_intermediate_result",
        "read_intermediate_results",
        "relation_is_a_known_shard",
    }


def test_no_view_or_table_of_citus_shows_another_tenant(
    cluster: Cluster, admin: psycopg.Connection, bob: httpx2.Client
) -> None:
    """Statistics have the most common values, activity has statements."""
    for _ in range(4):
        add(bob, text="the secret of bob")
    admin.execute("analyze app.tasks")
    readable = (
        "select format('%I.%I', nspname, relname) from pg_class as c join pg_namespace as n on n.oid = relnamespace"
        " join pg_depend as d on d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e'"
        " join pg_extension as e on e.oid = d.refobjid and e.extname = 'citus'"
        " where relkind in ('r', 'v') and has_table_privilege('app_api', c.oid, 'select')"
    )
    for node, found in enumerate(cluster.on_each(readable)):
        assert len(found) > 20
        with psycopg.connect(cluster.url("app_api", node), autocommit=True) as connection:
            for (relation,) in found:
                try:
                    rows = connection.execute(f"table {relation}".encode()).fetchall()
                except errors.InsufficientPrivilege:
                    continue
                assert "bob" not in str(rows), relation


# ---- readiness, the migrations, acceptance -----------------------------------------------------------


def test_a_worker_is_refused_with_the_reason(cluster: Cluster) -> None:
    with calling(cluster.url("app_api", 1)) as client:
        response = client.get("/health")
        assert (response.status_code, response.json()["reasons"]) == (503, [ON_WORKER])
        assert client.get("/tasks", headers=bearer(make_token("alice"))).status_code == 503
        assert client.get("/health/live").status_code == 200

    migrated = alembic(cluster.url("app_migrator", 1), "upgrade", "head", check=False)
    assert migrated.returncode != 0
    assert ON_WORKER in migrated.stderr
    audited = CliRunner().invoke(audit, env={"DATABASE_URL": cluster.url("app_api", 1)})
    assert (audited.exit_code, ON_WORKER in audited.output) == (2, True)


def test_shards_are_no_unknown_tables_where_citus_shows_them(cluster: Cluster, admin: psycopg.Connection) -> None:
    admin.execute(f"alter database {cluster.database} set citus.override_table_visibility = off".encode())
    assert {each.object for each in findings_of(cluster)} == {
        f"setting citus.override_table_visibility of database {cluster.database}"
    }
    with calling(cluster.url("app_api")) as client:
        assert client.get("/health").status_code == 200


def test_a_finding_is_accepted_on_clusters_only(
    cluster: Cluster, admin: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(shutil.copy(FILE_ON_CITUS, tmp_path))
    monkeypatch.setattr("api.commands.audit.FILE_ON_CITUS", file)
    admin.execute("grant update (id) on app.tasks to app_api")

    key = "grant_protected_column:app.tasks.id"
    accepted = CliRunner().invoke(
        audit, ["--accept", key, "--because", "A test."], env={"DATABASE_URL": cluster.url("app_api")}
    )

    assert accepted.exit_code == 0, accepted.output
    assert str(file) in accepted.output
    assert f"'{key}'" in file.read_text()
    admin.execute(file.read_bytes())
    assert key in {row for (row,) in admin.execute("select key from audit.accepted").fetchall()}


# ---- what a worker says ------------------------------------------------------------------------------

TASK = "insert into app.tasks (user_id, id, text) values ('{}', 'a5eed000-0000-4000-8000-000000000001', '{}')"


async def refused(url: str, *statements: str) -> asyncpg.PostgresError:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("set local app.user_id = 'alice'")
            for statement in statements:
                await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return error
    finally:
        await connection.close()
    raise AssertionError(statements)


def test_what_refuses_a_statement_is_known_when_it_is_a_worker_that_says_so(
    cluster: Cluster, admin: psycopg.Connection
) -> None:
    url = cluster.url("app_api")
    policy = asyncio.run(refused(url, TASK.format("bob", "Water the plants")))
    key = asyncio.run(refused(url, *[TASK.format("alice", "Water the plants")] * 2))
    check = asyncio.run(refused(url, TASK.format("alice", "")))
    node, shard = shard_of(cluster, admin, "app.tasks", "alice")
    run_there(cluster, node, f"revoke insert (text) on {shard} from app_api")
    grant = asyncio.run(refused(url, TASK.format("alice", "Water the plants")))

    assert [is_refused_by_policy(each) for each in (policy, key, check, grant)] == [True, False, False, False]
    assert [constraint_of(each) for each in (key, check)] == ["tasks_pkey", "tasks_text_length"]
