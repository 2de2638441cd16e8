"""What the metrics count of connections, of phases, and of work that was done twice, each for its real cause."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psycopg
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from api.settings import Settings
from db.connect import DatabaseUnavailableError
from db.pool import Pool
from db.session import Session, Transaction
from tests.support.connections import WHO, check_in, check_out, kill, next_of
from tests.support.database import Url
from tests.support.metrics import figures
from tests.support.servers import caller, serving
from tests.support.tasks import add, path
from tests.support.waiting import eventually, held, wait_for

POOL = 'partywall_pool_connections{{database="primary",state="{}"}}'
WAITING = 'partywall_pool_waiting{database="primary"}'


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop of tests that are coroutines."""
    return "asyncio"


def counted(metric: str, label: str) -> Counter[str]:
    """Return the values of a metric of this process by one of its labels."""
    samples = (sample for family in REGISTRY.collect() for sample in family.samples)
    return Counter({each.labels[label]: int(each.value) for each in samples if each.name == metric})


def opened_and_closed() -> tuple[int, Counter[str]]:
    opened = counted("partywall_pool_opened_total", "database")["primary"]
    return opened, counted("partywall_pool_closed_total", "reason")


# ---- connections ----------------------------------------------------------------------------------------


async def broken(pool: Pool, admin: psycopg.Connection) -> None:
    await kill(admin, await next_of(pool))
    check_in(pool, await check_out(pool, 1))


async def asleep(pool: Pool, admin: psycopg.Connection) -> asyncio.Task[object]:
    """Return a request whose statement is running."""
    task = asyncio.create_task(Session(pool, "alice", read_only=True).fetchval("select pg_sleep(10)"))
    while not admin.execute("select 1 from pg_stat_activity where wait_event = 'PgSleep'").fetchone():
        admin.rollback()
        await asyncio.sleep(0.01)
    return task


async def ended_while_idle(pool: Pool, admin: psycopg.Connection) -> None:
    await kill(admin, await next_of(pool))
    await asyncio.sleep(0.7)


async def ended(pool: Pool, admin: psycopg.Connection) -> None:
    """Amid a statement."""
    task = await asleep(pool, admin)
    admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'partywall'")
    with pytest.raises(DatabaseUnavailableError):
        await task


async def cancelled(pool: Pool, admin: psycopg.Connection) -> None:
    task = await asleep(pool, admin)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def hung(pool: Pool, _admin: psycopg.Connection) -> None:
    with pytest.raises(DatabaseUnavailableError):
        await Session(pool, "alice", read_only=True).fetchval("select pg_sleep(10)")


async def expired(pool: Pool, _admin: psycopg.Connection) -> None:
    [connection] = await check_out(pool, 1)
    pool.expire()
    check_in(pool, [connection])


async def unused(pool: Pool, _admin: psycopg.Connection) -> None:
    check_in(pool, await check_out(pool, 1))
    await asyncio.sleep(0.7)


async def nothing(pool: Pool, _admin: psycopg.Connection) -> None:
    check_in(pool, await check_out(pool, 1))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("reason", "cause", "options"),
    [
        ("broken", broken, {}),
        ("broken", ended, {}),
        ("broken", ended_while_idle, {}),
        ("cancelled", cancelled, {}),
        ("hung", hung, {"checkout_timeout": 0.3}),
        ("expired", expired, {}),
        ("idle", unused, {"idle_lifetime": 0.1}),
        ("old", unused, {"max_lifetime": 0.1}),
        ("shutdown", nothing, {}),
    ],
)
async def test_a_connection_that_is_opened_is_counted_and_its_end_by_the_reason(
    url: Url,
    admin: psycopg.Connection,
    reason: str,
    cause: Callable[[Pool, psycopg.Connection], Awaitable[None]],
    options: dict[str, float],
) -> None:
    opened, closed = opened_and_closed()
    async with Pool(url("app_api"), size=2, **options) as pool:  # type: ignore[arg-type]  # times
        await cause(pool, admin)
        pool.show()
        still_open = sum(counted("partywall_pool_connections", "state").values())
        opened_since, closed_since = opened_and_closed()
        assert opened_since - opened == still_open + (closed_since - closed).total()
    opened_since, closed_since = opened_and_closed()
    assert (closed_since - closed)[reason] == 1
    assert opened_since - opened == (closed_since - closed).total()
    assert sum(counted("partywall_pool_connections", "state").values()) == 0


@pytest.mark.anyio
async def test_a_connection_that_cannot_be_opened_is_counted() -> None:
    before = counted("partywall_pool_open_failures_total", "database")
    async with Pool("postgresql://app_api@127.0.0.1:1/nowhere", size=1) as pool:
        with pytest.raises(DatabaseUnavailableError):
            await check_out(pool, 1)
    assert counted("partywall_pool_open_failures_total", "database") - before == {"primary": 1}


def test_what_holds_and_what_waits_for_a_connection_shows(settings: Settings, admin: psycopg.Connection) -> None:
    with (
        serving(settings.model_copy(update={"database_pool_size": 4})) as address,
        caller(address, "alice") as alice,
        ThreadPoolExecutor(3) as threads,
    ):
        task = path(add(alice))
        with held(admin, "select from app.tasks for update"):
            changing = [threads.submit(alice.patch, task, json={"completed": True}) for _ in range(3)]
            wait_for(admin, 2)  # half of the pool is all that one user gets
            eventually(lambda: figures(address)[WAITING] == 1)
            now = figures(address)
            assert [now[POOL.format(state)] for state in ("in_use", "opening")] == [2, 0]
            assert now['partywall_pool_size{database="primary"}'] == 4
        assert [each.result().status_code for each in changing] == [200] * 3
        eventually(lambda: figures(address)[POOL.format("in_use")] == 0)
        assert figures(address)[WAITING] == 0
        assert figures(address)[POOL.format("idle")] >= 2


def test_metrics_are_there_at_once_while_the_database_is_not(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": SecretStr("postgresql://app_api@127.0.0.1:1/x")})
    with serving(away) as address, caller(address, "alice") as alice:
        before = figures(address)
        assert before["partywall_database_up"] == before["partywall_ready"] == 0
        assert before['partywall_not_ready{reason="database_unavailable"}'] == 1
        assert alice.get("/tasks").status_code == 503
        started = time.monotonic()
        now = figures(address)
        assert time.monotonic() - started < 1
        assert (
            now['partywall_database_errors_total{sqlstate="none"}']
            == 1 + before['partywall_database_errors_total{sqlstate="none"}']
        )


# ---- phases ---------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_phases_are_counted_and_a_transaction_that_is_sent_at_once_has_no_commit_of_its_own(
    url: Url, way: str
) -> None:
    async with Pool(url("app_api"), size=1) as pool:
        session = Session(pool, "alice", read_only=True)
        await session.fetchval(WHO)  # and prepare it
        before = counted("partywall_phase_duration_seconds_count", "phase")
        await session.fetchval(WHO)
        since = counted("partywall_phase_duration_seconds_count", "phase") - before
    at_once = {"check_out": 1, "query": 1}
    assert since == (at_once if way == "at once" else at_once | {"query": 2, "commit": 1})


def test_to_authenticate_is_a_phase_of_every_request_that_needs_it(alice: httpx2.Client) -> None:
    before = counted("partywall_phase_duration_seconds_count", "phase")
    alice.get("/tasks")
    alice.get("/tasks", headers={"Authorization": "Bearer nonsense"})
    alice.get("/health/live")
    assert (counted("partywall_phase_duration_seconds_count", "phase") - before)["authenticate"] == 2


# ---- retries and errors ---------------------------------------------------------------------------------


async def deadlock(pool: Pool, _admin: psycopg.Connection) -> None:
    async def lock(transaction: Transaction, first: int, second: int) -> None:
        await transaction.execute(f"select pg_advisory_xact_lock({first})")
        await asyncio.sleep(0.1)
        await transaction.execute(f"select pg_advisory_xact_lock({second})")

    await asyncio.gather(
        Session(pool, "alice", read_only=False).run(lambda transaction: lock(transaction, 1, 2)),
        Session(pool, "bob", read_only=False).run(lambda transaction: lock(transaction, 2, 1)),
    )


async def conflict(pool: Pool, admin: psycopg.Connection) -> None:
    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'Buy milk')")
    admin.commit()

    async def change(transaction: Transaction) -> None:
        await transaction.execute("set transaction isolation level repeatable read")
        await transaction.fetchval("select count(*) from app.tasks where user_id = 'alice'")
        admin.execute("update app.tasks set text = 'Buy bread' where text = 'Buy milk'")
        admin.commit()
        await transaction.execute("update app.tasks set completed = true where user_id = 'alice'")

    await Session(pool, "alice", read_only=False).run(change)


async def end(pool: Pool, admin: psycopg.Connection) -> None:
    """Its last words come before anything was sent: asyncpg keeps them to itself."""
    connection = await next_of(pool)
    async with Session(pool, "alice", read_only=True).transaction() as transaction:
        admin.execute("select pg_terminate_backend(%s, 5000)", [connection.get_server_pid()])
        assert await transaction.fetchval(WHO) == "alice"


@pytest.mark.anyio
@pytest.mark.parametrize(("state", "cause"), [("40P01", deadlock), ("40001", conflict), ("none", end)])
async def test_work_that_is_done_once_more_is_counted_by_its_sqlstate(
    url: Url, admin: psycopg.Connection, state: str, cause: Callable[[Pool, psycopg.Connection], Awaitable[None]]
) -> None:
    async with Pool(url("app_api"), size=4) as pool:
        await asyncio.gather(*(Session(pool, f"user {n}", read_only=True).fetchval(WHO) for n in range(2)))
        before = counted("partywall_database_retries_total", "sqlstate")
        await cause(pool, admin)
        assert counted("partywall_database_retries_total", "sqlstate") - before == {state: 1}


@pytest.mark.parametrize(
    ("state", "label", "counts"),
    [("57014", "57014", True), ("XX000", "XX000", True), ("ZZ001", "other", True), ("22012", "22012", False)],
)
def test_a_request_that_fails_because_of_the_database_is_counted_by_an_sqlstate_that_postgresql_defines(
    alice: httpx2.Client, admin: psycopg.Connection, state: str, label: str, *, counts: bool
) -> None:
    admin.execute(
        f"""
        create function public.fail() returns trigger language plpgsql as $$begin raise sqlstate '{state}'; end$$;
        create trigger fail before insert on app.tasks for each row execute function public.fail();
    """.encode()
    )
    admin.commit()
    before = counted("partywall_database_errors_total", "sqlstate")
    assert (alice.post("/tasks", json={"text": "Buy milk"}).status_code >= 500) == counts
    assert counted("partywall_database_errors_total", "sqlstate") - before == ({label: 1} if counts else {})
