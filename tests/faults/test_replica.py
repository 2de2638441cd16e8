"""Reads on a streaming standby: where each one runs, how old it may be, and what happens when the standby fails."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx2
import psycopg
import pytest

from api.http.bookmark import NAME
from api.settings import Settings
from db.embedded import Cluster
from db.pool import Pool
from db.replica import Target
from db.session import Session
from db.turns import TooManyRequestsError
from tests.support.database import set_up, url_of
from tests.support.faults import under_load
from tests.support.metrics import figures
from tests.support.servers import AccessLog, caller, serving
from tests.support.tasks import add, page, path
from tests.support.tokens import JWT_SECRET
from tests.support.waiting import eventually

OPTIONS = ("fsync=off", "max_wal_size=128MB", "wal_keep_size=64MB", "wal_retrieve_retry_interval=200ms")

END_SESSIONS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'partywall'"


def login(*clusters: Cluster, role: str = "app_api", database: str = "postgres", **more: str) -> str:
    """Return the URL by which a role reaches the first of these clusters that will do."""
    hosts = ",".join(str(each.socket_directory) for each in clusters)
    url = url_of(role, {"dbname": database, "host": hosts, "port": ",".join(["5432"] * len(clusters))})
    return "&".join([url, *(f"{name}={value}" for name, value in more.items())])


class Pair(NamedTuple):
    """A primary with a migrated database, and a standby of it."""

    primary: Cluster
    standby: Cluster

    def on_primary(self, *statements: str) -> None:
        run(self.primary, *statements)

    def on_standby(self, *statements: str) -> None:
        run(self.standby, *statements)

    def catch_up(self) -> None:
        [(lsn,)] = run(self.primary, "select pg_current_wal_flush_lsn()")
        eventually(lambda: run(self.standby, f"select pg_last_wal_replay_lsn() >= '{lsn}'") == [(True,)])

    def renew(self) -> None:
        """Make the standby anew."""
        if self.standby.is_running:
            self.standby.stop()
        if self.standby.exists:
            self.standby.remove()
        self.standby.copy(self.primary.url("postgres", "postgres"))
        self.standby.start(*OPTIONS)


def run(cluster: Cluster, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
    """Run statements as the superuser; return the rows of the last one."""
    with psycopg.connect(cluster.url("postgres", database), autocommit=True) as admin:
        for statement in statements:
            cursor = admin.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@contextmanager
def in_memory() -> Iterator[Path]:
    """Give a directory that is in memory, where that can be."""
    memory = Path("/dev/shm")  # noqa: S108 - TemporaryDirectory makes a name of its own
    with TemporaryDirectory(prefix="partywall-", dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def made() -> Iterator[Pair]:
    with in_memory() as directory:
        pair = Pair(Cluster(directory / "primary"), Cluster(directory / "standby"))
        pair.primary.create()
        pair.primary.start(*OPTIONS)
        set_up(host=str(pair.primary.socket_directory), port=5432, user="postgres", dbname="postgres")
        pair.on_primary(f"create database {PAUSED} template postgres")
        pair.renew()
        yield pair
        for each in (pair.standby, pair.primary):
            if each.is_running:
                each.stop()


@pytest.fixture
def pair(made: Pair) -> Pair:
    """A primary and a standby that has replayed everything. There are no rows."""
    if not made.primary.is_running:
        made.primary.start(*OPTIONS)
    made.on_primary("delete from app.tasks", "delete from app.workspaces", "delete from app.idempotency_keys")
    if not made.standby.is_running or run(made.standby, "select pg_is_in_recovery()") != [(True,)]:
        made.renew()
    made.on_standby("select pg_wal_replay_resume()")
    made.catch_up()
    return made


class Api(NamedTuple):
    """The API under test, and two clients of it."""

    address: str
    alice: httpx2.Client
    bob: httpx2.Client

    @property
    def replica(self) -> str:
        state: str = self.alice.get("/health").json()["replica"]
        return state

    def wait_for_replica(self, state: str = "ok") -> None:
        eventually(lambda: state in self.replica)


@contextmanager
def api_of(primary: str, replica: str, *, max_lag: float = 2, waits: bool = True, **more: Any) -> Iterator[Api]:
    """Serve the API with a replica; wait until that is used."""
    settings = Settings(
        _env_file=None,
        database_url=primary,
        database_replica_url=replica,
        replica_max_lag=max_lag,
        jwt_secret=JWT_SECRET,
        **{"database_pool_size": 4} | more,
    )
    with serving(settings) as address, caller(address, "alice") as alice, caller(address, "bob") as bob:
        api = Api(address, alice, bob)
        if waits:
            api.wait_for_replica()
        yield api


@pytest.fixture(scope="module")
def served(made: Pair) -> Iterator[Api]:
    with api_of(login(made.primary), login(made.standby)) as api:
        yield api


@pytest.fixture
def api(pair: Pair, served: Api) -> Api:
    """The API with that replica in use."""
    del pair
    served.wait_for_replica()
    return served


@contextmanager
def paused(pair: Pair) -> Iterator[None]:
    """Let the standby replay nothing."""
    pair.on_standby("select pg_wal_replay_pause()")
    eventually(lambda: run(pair.standby, "select pg_get_wal_replay_pause_state()") == [("paused",)])
    try:
        yield
    finally:
        pair.on_standby("select pg_wal_replay_resume()")


def texts(client: httpx2.Client, bookmark: str | None = None) -> list[str]:
    response = client.get("/tasks", headers={NAME: bookmark} if bookmark else {})
    assert response.status_code == 200, response.text
    return [task["text"] for task in response.json()["items"]]


def write(client: httpx2.Client, text: str) -> str:
    """Add a task; return the bookmark."""
    response = client.post("/tasks", json={"text": text})
    assert response.status_code == 201, response.text
    return response.headers[NAME]


# ---- where a request runs ----------------------------------------------------------------------------


def test_reads_run_on_the_replica_and_writes_on_the_primary(pair: Pair, api: Api, access_log: AccessLog) -> None:
    task = add(api.alice)
    pair.catch_up()
    with paused(pair):
        run(pair.primary, "update app.tasks set text = 'Only the primary has this'")
        access_log()
        assert api.alice.get(path(task)).json()["text"] == "Buy milk"
        assert api.alice.get("/tasks").json()["items"] == [task]
        assert api.alice.head(path(task)).headers["ETag"] == f'"{task["updated_at"]}"'
        assert api.alice.get("/workspaces").json()["items"] == []
        assert api.alice.patch(path(task), json={"order": 1}).json()["text"] == "Only the primary has this"
        logged = [(line["method"], line.get("database")) for line in access_log()]
    assert logged == [("GET", "replica"), ("GET", "replica"), ("HEAD", "replica"), ("GET", "replica"), ("PATCH", None)]
    logins = "select usename, application_name from pg_stat_activity where application_name = 'partywall' group by 1, 2"
    assert run(pair.standby, logins) == run(pair.primary, logins) == [("app_api", "partywall")]


def test_a_workspace_is_read_on_the_replica_and_nobody_sees_more_there(pair: Pair, api: Api) -> None:
    workspace = api.alice.post("/workspaces", json={"name": "Garden"}).headers["Location"]
    task = api.alice.post(f"{workspace}/tasks", json={"text": "Dig"}).headers["Location"]
    add(api.alice)
    pair.catch_up()
    with paused(pair):
        pair.on_primary("delete from app.tasks", "delete from app.workspaces")  # what is read now is on the replica
        assert api.alice.get(task).json()["text"] == "Dig"
        assert [each["text"] for each in api.alice.get("/tasks").json()["items"]] == ["Buy milk"]
        assert texts(api.bob) == []
        for address in (workspace, f"{workspace}/tasks", task):
            assert api.bob.get(address).status_code == 404
        with psycopg.connect(login(pair.standby)) as nobody:
            assert nobody.execute("select count(*) from app.tasks").fetchone() == (0,)


def test_nothing_can_be_written_by_a_session_on_the_replica(pair: Pair) -> None:
    with psycopg.connect(login(pair.standby)) as session, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        session.execute("set local app.user_id = 'alice'; insert into app.tasks (text) values ('x')")


def test_a_cursor_of_the_replica_goes_on_at_the_primary_and_the_other_way_round(pair: Pair, api: Api) -> None:
    for order in range(4):
        bookmark = write(api.alice, f"Task {order}")
        add(api.alice)
    pair.catch_up()
    everything = page(api.alice)["items"]
    with paused(pair):
        for first, second in (({}, {NAME: str(10**18 - 1)}), ({NAME: str(10**18 - 1)}, {})):
            start = api.alice.get("/tasks?limit=3", headers=first).json()
            rest = api.alice.get("/tasks", params={"cursor": start["next_cursor"]}, headers=second).json()
            assert [*start["items"], *rest["items"]] == everything
    assert texts(api.alice, bookmark)


# ---- how old a read may be ---------------------------------------------------------------------------


def test_a_read_with_the_bookmark_of_a_write_is_never_stale_and_one_without_is_for_a_while(
    pair: Pair, api: Api, access_log: AccessLog
) -> None:
    with paused(pair), api_of(login(pair.primary), login(pair.standby)) as other:
        for n in range(5):
            bookmark = write(api.alice, str(n))
            assert len(texts(api.alice)) == 0
            assert len(texts(api.alice, bookmark)) == n + 1
            assert len(texts(other.alice, bookmark)) == n + 1  # whichever worker or machine it is
            time.sleep(0.15)  # as long as it takes to know the primary's position
        assert texts(api.alice) == []

    def served_by_the_replica() -> bool:
        access_log()
        assert len(texts(api.alice, bookmark)) == 5
        return [line["database"] for line in access_log()] == ["replica"]

    eventually(served_by_the_replica)


def test_every_write_has_a_bookmark_and_nothing_else_has(pair: Pair, api: Api) -> None:
    task = add(api.alice)
    bookmarks = [
        response.headers.get(NAME)
        for response in (
            api.alice.post("/tasks", json={"text": "x"}, headers={"Idempotency-Key": "key"}),
            api.alice.post("/tasks", json={"text": "x"}, headers={"Idempotency-Key": "key"}),
            api.alice.patch("/tasks", json={"tasks": [{"id": task["id"], "order": 1}]}),
            api.alice.patch(path(task), json={"order": 1}),
            api.alice.delete(path(task)),
            api.alice.delete("/tasks?completed=true"),
        )
    ]
    times = [int(bookmark or 0) for bookmark in bookmarks]
    assert all(times)
    assert sorted(times) == times
    [(now,)] = run(pair.primary, "select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
    assert abs(now - times[-1]) < 1_000_000
    for response in (
        api.alice.get("/tasks"),
        api.alice.post("/tasks", json={}),
        api.alice.delete(path(task)),
        api.alice.options("/tasks"),
        httpx2.post(f"{api.address}/tasks", json={"text": "x"}),
    ):
        assert NAME not in response.headers


def test_a_malformed_bookmark_is_told_also_where_there_is_no_replica(alice: httpx2.Client) -> None:
    for sent in ("", "x", "-1", "1.5", "1" * 19, "\uff11", "1, 2"):
        response = alice.get("/tasks", headers={NAME.encode(): sent.encode()})
        [error] = response.json()["errors"]
        assert (response.status_code, error["code"], error["parameter"]) == (422, "invalid_bookmark", NAME)
    assert alice.get("/tasks", headers={NAME: "1"}).status_code == 200
    assert NAME not in alice.post("/tasks", json={"text": "x"}).headers


def test_a_bookmark_of_long_ago_is_seen_and_one_of_the_future_is_read_from_the_primary(pair: Pair, api: Api) -> None:
    with paused(pair):
        write(api.alice, "x")
        assert texts(api.alice, "0") == []
        assert texts(api.alice, "9" * 18) == ["x"]


def test_a_replica_that_lags_too_much_is_not_used_and_then_is_again_and_each_is_told_once(
    pair: Pair, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    time.sleep(0.5)  # a position is known after the last commit
    with paused(pair):
        with psycopg.connect(pair.primary.url("postgres", "postgres")) as under_way:
            under_way.execute("create table public.large as select generate_series(1, 1000)")
            time.sleep(2.5)  # an idle primary causes no lag, nor does a transaction that has not ended
            assert api.replica == "ok"
            assert figures(api.address)["partywall_replica_used"] == 1
            assert figures(api.address)["partywall_replica_lag_seconds"] < 2
            under_way.rollback()
        write(api.alice, "x")
        assert texts(api.alice) == []
        api.wait_for_replica("it is behind the primary by more than 2 s (REPLICA_MAX_LAG)")
        assert texts(api.alice) == ["x"]
        assert figures(api.address)["partywall_replica_used"] == 0
        assert 2 < (lag := figures(api.address)["partywall_replica_lag_seconds"]) < 10
        time.sleep(0.5)
        assert figures(api.address)["partywall_replica_lag_seconds"] > lag
    api.wait_for_replica()
    assert texts(api.alice) == ["x"]
    assert figures(api.address)['partywall_pool_opened_total{database="replica"}'] > 0
    assert [line for line in caplog.messages if "the replica is" in line] == [
        "the replica is not used: it is behind the primary by more than 2 s (REPLICA_MAX_LAG)",
        "the replica is used again",
    ]


def test_no_read_is_older_than_the_replica_may_lag_also_between_two_checks(pair: Pair) -> None:
    with api_of(login(pair.primary), login(pair.standby), max_lag=1) as api:
        add(api.alice)
        for n in range(2, 4):
            pair.catch_up()
            api.wait_for_replica()
            with paused(pair):
                add(api.alice)
                written = time.monotonic()
                while (started := time.monotonic()) < written + 1.4:
                    assert len(texts(api.alice)) == n or started < written + 1


def test_with_remote_apply_no_read_is_stale(pair: Pair) -> None:
    pair.on_primary("alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
    pair.on_primary("alter role app_api set synchronous_commit = remote_apply")
    try:
        with api_of(login(pair.primary), login(pair.standby)) as api:
            for n in range(100):
                write(api.alice, str(n))
                assert len(page(api.alice, limit=200)["items"]) == n + 1
    finally:
        pair.on_primary("alter role app_api reset synchronous_commit")
        pair.on_primary("alter system reset synchronous_standby_names", "select pg_reload_conf()")


def test_without_synchronous_commit_a_bookmark_holds_too(pair: Pair) -> None:
    pair.on_primary("alter role app_api set synchronous_commit = off")
    try:
        with api_of(login(pair.primary), login(pair.standby)) as api:
            stop = time.monotonic() + 1
            n = 0
            while time.monotonic() < stop:
                bookmark, n = write(api.alice, "x"), n + 1
                time.sleep(n % 7 * 0.1)
                assert len(page(api.alice, limit=200)["items"]) <= n
                response = api.alice.get("/tasks?limit=200", headers={NAME: bookmark})
                assert len(response.json()["items"]) == n
    finally:
        pair.on_primary("alter role app_api reset synchronous_commit")


def test_a_commit_of_others_that_is_not_on_the_disk_at_once_is_no_less_due(pair: Pair) -> None:
    """They may do without synchronous_commit: when the primary is asked, such a commit may be in its memory only."""
    pair.on_primary("alter system set wal_writer_delay = '1s'", "select pg_reload_conf()")
    add_task = "insert into app.tasks (user_id, text) values ('alice', 'x')"
    try:
        with api_of(login(pair.primary), login(pair.standby), max_lag=1) as api:
            pair.on_primary(add_task)
            pair.catch_up()
            eventually(lambda: len(texts(api.alice)) == 1)
            time.sleep(0.5)
            with paused(pair):
                pair.on_primary("set synchronous_commit = off", add_task)
                eventually(lambda: len(texts(api.alice)) == 2)
    finally:
        pair.on_primary("alter system reset wal_writer_delay", "select pg_reload_conf()")


# ---- pauses ------------------------------------------------------------------------------------------

PAUSED = "paused"  # a database to which the API of the other tests has no connection
LOGINS = f"select pid from pg_stat_activity where datname = '{PAUSED}' and usename ~ '^app_'"  # noqa: S608 - a constant


@contextmanager
def pausing(pair: Pair, role: str = "app_api", **more: Any) -> Iterator[Api]:
    """Serve an API that pauses after two seconds."""
    primary, replica = login(pair.primary, database=PAUSED), login(pair.standby, role=role, database=PAUSED)
    with api_of(primary, replica, max_lag=1, health_checks_pause_after=2, **more) as api:
        yield api


def wait_until_left_alone(pair: Pair) -> None:
    eventually(lambda: run(pair.primary, LOGINS) == run(pair.standby, LOGINS) == [])


def test_while_nobody_calls_both_are_left_alone_and_then_both_are_checked_before_the_replica_is_read(
    pair: Pair, access_log: AccessLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 0.5)
    with pausing(pair) as api:
        add(api.alice)
        wait_until_left_alone(pair)
        for _ in range(10):
            assert api.alice.get("/health").json()["database"] == "idle"
            assert run(pair.primary, LOGINS) == run(pair.standby, LOGINS) == []
            time.sleep(0.05)

        with paused(pair):  # what was found before does not hold
            run(pair.primary, "update app.tasks set text = 'Later'", database=PAUSED)
            time.sleep(1.1)
            access_log()
            assert [texts(api.alice) for _ in range(5)] == [["Later"]] * 5
            assert [line["database"] for line in access_log()] == ["primary"] * 5
        api.wait_for_replica()
        assert texts(api.alice) == ["Later"]


def test_a_replica_that_cannot_be_used_keeps_no_database_awake(pair: Pair) -> None:
    with pausing(pair, role="app_migrator", waits=False) as api:
        api.wait_for_replica("not used: DATABASE_REPLICA_URL logs in as app_migrator")
        assert api.alice.get("/tasks").status_code == 200
        wait_until_left_alone(pair)
        assert api.alice.get("/tasks").status_code == 200


# ---- a replica that fails ----------------------------------------------------------------------------


def processes(cluster: Cluster) -> list[int]:
    """Return the process ids of a server: its postmaster's, then those of its children."""
    pid_file = cluster.socket_directory.parent / "postgres" / "postmaster.pid"
    postmaster = int(pid_file.read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


def signal_all(cluster: Cluster, number: signal.Signals) -> None:
    for pid in processes(cluster):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def stopped(pair: Pair) -> Iterator[None]:
    pair.standby.stop()
    try:
        yield
    finally:
        pair.standby.start(*OPTIONS)


@contextmanager
def killed(pair: Pair) -> Iterator[None]:
    signal_all(pair.standby, signal.SIGKILL)
    eventually(lambda: not pair.standby.is_running)
    try:
        yield
    finally:
        pair.standby.start(*OPTIONS)


@contextmanager
def hung(pair: Pair) -> Iterator[None]:
    signal_all(pair.standby, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(pair.standby, signal.SIGCONT)


def listing(client: httpx2.Client) -> list[httpx2.Response]:
    return [client.get("/tasks"), client.head("/tasks")]


@pytest.mark.parametrize("fault", [stopped, killed, hung])
def test_no_read_fails_when_the_replica_does_and_it_is_used_again(
    fault: Callable[[Pair], AbstractContextManager[None]], pair: Pair, api: Api
) -> None:
    add(api.alice)
    with under_load(4, listing, lambda: caller(api.address, "alice")) as statuses:
        with fault(pair):
            started = time.monotonic()
            assert texts(api.alice) == ["Buy milk"]
            assert time.monotonic() - started < 5
            api.wait_for_replica("it does not respond: ")
            assert texts(api.alice) == ["Buy milk"]
            assert api.alice.get("/health").status_code == 200
        api.wait_for_replica()
    assert set(statuses) == {200}


def test_the_api_starts_without_its_replica_and_uses_it_once_it_is_there(pair: Pair) -> None:
    pair.standby.stop()
    with api_of(login(pair.primary), login(pair.standby), waits=False) as api:
        write(api.alice, "x")
        assert texts(api.alice) == ["x"]
        api.wait_for_replica("not used: it does not respond: ")
        pair.standby.start(*OPTIONS)
        api.wait_for_replica()
        assert texts(api.alice) == ["x"]


def test_sessions_that_are_ended_on_the_replica_fail_no_read(pair: Pair, api: Api) -> None:
    with under_load(4, listing, lambda: caller(api.address, "alice")) as statuses:
        for _ in range(10):
            pair.on_standby(END_SESSIONS)
            time.sleep(0.05)
    assert set(statuses) == {200}


def test_a_read_that_conflicts_with_what_is_replayed_runs_on_the_primary(pair: Pair, api: Api) -> None:
    """A migration, say."""
    add(api.alice)
    pair.catch_up()
    pair.on_standby("alter system set max_standby_streaming_delay = '50ms'", "select pg_reload_conf()")
    read = "select count(*) from app.tasks where user_id = $1 and pg_sleep(1) is not null"
    try:

        async def main() -> tuple[object, bool]:
            async with Pool(login(pair.primary), size=2) as primary, Pool(login(pair.standby), size=2) as standby:
                session = Session(primary, "alice", read_only=True, replica=Target(standby, 1, lambda: None))
                reading = asyncio.create_task(session.fetchval(read, "alice"))
                await asyncio.sleep(0.3)
                exclusively = "begin; lock table app.tasks in access exclusive mode; commit"
                await asyncio.to_thread(pair.on_primary, exclusively)
                return await reading, session.used_replica

        assert asyncio.run(main()) == (1, False)
    finally:
        pair.on_standby("alter system reset max_standby_streaming_delay", "select pg_reload_conf()")


def test_where_transactions_are_serializable_reads_run_on_the_primary(pair: Pair) -> None:
    """A standby has no such transactions."""
    pair.on_primary("alter role app_api set default_transaction_isolation = serializable")
    pair.catch_up()

    async def main() -> tuple[object, bool]:
        async with Pool(login(pair.primary), size=1) as primary, Pool(login(pair.standby), size=1) as standby:
            session = Session(primary, "alice", read_only=True, replica=Target(standby, 1, lambda: None))
            return await session.fetchval("show transaction_isolation"), session.used_replica

    try:
        assert asyncio.run(main()) == ("serializable", False)
    finally:
        pair.on_primary("alter role app_api reset default_transaction_isolation")


def test_too_many_requests_of_one_user_do_not_go_to_the_primary_too(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.ACQUIRE_TIMEOUT", 0.3)

    async def main() -> tuple[object, object]:
        async with Pool(login(pair.primary), size=2) as primary, Pool(login(pair.standby), size=2) as standby:

            def read(seconds: float) -> Coroutine[Any, Any, object]:
                session = Session(primary, "alice", read_only=True, replica=Target(standby, 1, lambda: None))
                return session.fetchval("select pg_is_in_recovery() from pg_sleep($1::float8)", seconds)

            slow = asyncio.create_task(read(2))
            await asyncio.sleep(0.1)
            [second] = await asyncio.gather(read(0), return_exceptions=True)
            return second, await slow

    second, first = asyncio.run(main())
    assert isinstance(second, TooManyRequestsError)
    assert first is True


def test_a_promoted_replica_is_not_used_and_its_successor_is(pair: Pair, api: Api) -> None:
    add(api.alice)
    pair.catch_up()
    pair.on_standby("select pg_promote()", "update app.tasks set text = 'On another timeline'")
    assert texts(api.alice) == ["Buy milk"]
    api.wait_for_replica("not used: it is no standby: it was promoted, or is the primary itself")
    assert texts(api.alice) == ["Buy milk"]

    pair.renew()
    api.wait_for_replica()
    assert texts(api.alice) == ["Buy milk"]


def test_a_standby_that_went_another_way_is_not_used(pair: Pair) -> None:
    """It has replayed more than the primary has written, so it is not the primary's: a failover has left it behind."""
    with in_memory() as directory:
        left_behind = Cluster(directory)
        left_behind.copy(pair.primary.url("postgres", "postgres"))
        left_behind.start(*OPTIONS)
        try:
            run(
                left_behind,
                "select pg_promote()",
                "update app.tasks set text = 'Lost'",
                "create table public.more as select generate_series(1, 1000)",
            )
            left_behind.stop()
            (directory / "postgres" / "standby.signal").touch()
            left_behind.start(*OPTIONS)
            assert run(left_behind, "select pg_is_in_recovery()") == [(True,)]
            with api_of(login(pair.primary), login(left_behind), waits=False) as api:
                api.wait_for_replica("not used: it does not follow the primary")
                bookmark = write(api.alice, "Here")
                assert texts(api.alice, bookmark) == texts(api.alice) == ["Here"]
                pair.on_primary("create table public.much as select generate_series(1, 10000)")
                for _ in range(10):
                    time.sleep(0.1)
                    assert "not used" in api.replica
                pair.on_primary("drop table public.much")
        finally:
            left_behind.stop()


@pytest.mark.parametrize(
    ("database", "role", "why"),
    [
        ("postgres", "app_migrator", "DATABASE_REPLICA_URL logs in as app_migrator"),
        ("template1", "app_api", "DATABASE_REPLICA_URL leads to another database than DATABASE_URL"),
        ("postgres", "nobody", "it does not respond: 28"),
    ],
)
def test_a_replica_of_another_database_or_with_another_login_is_not_used(
    database: str, role: str, why: str, pair: Pair
) -> None:
    replica = login(pair.standby, role=role, database=database)
    with api_of(login(pair.primary), replica, waits=False) as api:
        api.wait_for_replica(f"not used: {why}")
        bookmark = write(api.alice, "x")
        assert texts(api.alice) == texts(api.alice, bookmark) == ["x"]
        assert api.alice.get("/health").status_code == 200


def test_the_primary_itself_is_no_replica(pair: Pair) -> None:
    with api_of(login(pair.primary), login(pair.primary), waits=False) as api:
        api.wait_for_replica("not used: it is no standby")
        write(api.alice, "x")
        assert texts(api.alice) == ["x"]


def test_a_standby_of_another_cluster_is_not_used(pair: Pair) -> None:
    """With the same database, schema and roles: only the identifier of the system tells."""
    with in_memory() as directory:
        other = Cluster(directory)
        other.create()
        (directory / "postgres" / "standby.signal").touch()
        other.start(*OPTIONS)
        try:
            with api_of(login(pair.primary), other.url("postgres", "postgres"), waits=False) as api:
                api.wait_for_replica("not used: DATABASE_REPLICA_URL leads to another database")
        finally:
            other.stop()


def test_a_replica_that_is_not_safe_to_use_is_not_used(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 0.2)
    with api_of(login(pair.primary), login(pair.standby), max_lag=60) as api:
        add(api.alice)
        pair.on_primary("alter table app.tasks disable row level security")
        eventually(lambda: api.alice.get("/tasks").status_code == 503)
        with paused(pair):
            pair.on_primary("alter table app.tasks enable row level security")
            eventually(lambda: api.alice.get("/tasks").status_code == 200)
            assert texts(api.bob) == []
            assert "not used: table app.tasks: It is now: row-level security is disabled" in api.replica
        api.wait_for_replica()
        assert texts(api.bob) == []


def test_while_the_primary_is_down_reads_are_served_by_the_replica(pair: Pair, api: Api) -> None:
    bookmark = write(api.alice, "x")
    pair.catch_up()
    eventually(lambda: texts(api.alice) == ["x"])
    pair.primary.stop()
    stop = time.monotonic() + 3.5  # longer than a replica may lag, and than a database may not respond
    while time.monotonic() < stop:
        assert texts(api.alice) == ["x"]
    health = api.alice.get("/health")
    assert (health.status_code, health.json()["database"], health.json()["replica"]) == (200, "unavailable", "ok")
    assert api.alice.get("/health/db").status_code == 503
    refused = api.alice.post("/tasks", json={"text": "y"})
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")

    pair.primary.start(*OPTIONS)
    eventually(lambda: api.alice.post("/tasks", json={"text": "y"}).status_code == 201)
    assert texts(api.alice, str(int(bookmark) + 10**9)) == ["x", "y"]
    api.wait_for_replica()


def test_with_both_down_nothing_is_served(pair: Pair, api: Api) -> None:
    pair.primary.stop()
    pair.standby.stop()
    eventually(lambda: api.alice.get("/health").status_code == 503)
    problem = api.alice.get("/health").json()
    assert (problem["database"], problem["replica"].partition(":")[0]) == ("unavailable", "not used")
    assert api.alice.get("/tasks").status_code == 503


# ---- several hosts -----------------------------------------------------------------------------------


def test_a_host_that_is_down_is_passed_over(pair: Pair) -> None:
    nowhere = Cluster(Path("/nowhere"))
    with api_of(login(pair.primary), login(nowhere, pair.standby)) as api:
        write(api.alice, "x")
        eventually(lambda: texts(api.alice) == ["x"])


def test_of_two_replicas_with_one_name_the_one_that_lags_makes_no_read_stale(pair: Pair) -> None:
    with in_memory() as directory:
        second = Cluster(directory)
        second.copy(pair.primary.url("postgres", "postgres"))
        second.start(*OPTIONS)
        try:
            both = login(pair.standby, second, load_balance_hosts="random")
            with api_of(login(pair.primary), both, max_lag=60) as api, paused(pair):
                for n in range(6):
                    bookmark = write(api.alice, "x")
                    time.sleep(0.6)  # now one of them may serve it
                    for each in (pair.standby, second):
                        run(each, END_SESSIONS)  # so that any of them may be next
                    assert len(texts(api.alice, bookmark)) == n + 1
        finally:
            second.stop()


def test_after_a_failover_between_the_hosts_of_both_urls_reads_and_writes_go_on(pair: Pair) -> None:
    hosts = (pair.primary, pair.standby)
    primary, replica = (login(*hosts, target_session_attrs=kind) for kind in ("primary", "standby"))
    with api_of(primary, replica) as api:
        write(api.alice, "before")
        pair.catch_up()
        pair.primary.stop()
        pair.on_standby("select pg_promote()")
        eventually(lambda: api.alice.post("/tasks", json={"text": "after"}).status_code == 201)
        assert texts(api.alice) == ["before", "after"]

        pair.primary.remove()
        pair.primary.copy(pair.standby.url("postgres", "postgres"))
        pair.primary.start(*OPTIONS)
        eventually(lambda: api.replica == "ok")
        bookmark = write(api.alice, "again")
        assert texts(api.alice, bookmark) == ["before", "after", "again"]
    # And back.
    pair.standby.stop()
    run(pair.primary, "select pg_promote()")
    pair.renew()


def test_where_database_url_leads_to_a_standby_itself_there_is_no_telling_and_no_replica(pair: Pair) -> None:
    with api_of(login(pair.standby), login(pair.standby), waits=False) as api:
        api.wait_for_replica("how far it is behind the primary is not known: 55000 recovery is in progress")
        assert texts(api.alice) == []
