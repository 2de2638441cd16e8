"""What `db.pool` promises about connections: how many, which, for how long."""

import asyncio
import math
import time
from contextlib import closing

import psycopg
import pytest

from db.connect import DatabaseUnavailableError
from db.connection import Connection
from db.pool import Pool
from db.session import Session
from tests.support.connections import BACKEND, WHO, check_in, check_out, freeze_at, kill, next_of, until_closed
from tests.support.database import Url
from tests.support.wire import Wire

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("way")]


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a connection."""
    monkeypatch.setattr("db.pool.ACQUIRE_TIMEOUT", 0.5)
    monkeypatch.setattr("db.pool.CONNECT_TIMEOUT", 0.5)


async def available(pool: Pool) -> int:
    """Return how many connections can be checked out at once. It should be exactly the pool's size."""
    found = await asyncio.gather(*(pool.acquire(f"user {n}") for n in range(pool.size + 1)), return_exceptions=True)
    connections = [one for one in found if isinstance(one, Connection)]
    check_in(pool, connections)
    return len(connections)


async def test_many_callers_share_the_connections(pool: Pool, admin: psycopg.Connection) -> None:
    sessions = [Session(pool, f"user {number}", read_only=True) for number in range(20)]
    backends = await asyncio.gather(*(each.fetchval(f"{BACKEND} from pg_sleep(0.01)") for each in sessions))
    assert len(set(backends)) == pool.size
    found = admin.execute(
        "select pid from pg_stat_activity where usename = 'app_api' and datname = current_database()"
    ).fetchall()
    assert {pid for (pid,) in found} == set(backends)


async def test_the_connection_that_was_released_last_is_checked_out_first(pool: Pool) -> None:
    one, two, three = await check_out(pool, 3)
    check_in(pool, [two, one, three])
    again = await check_out(pool, 3)
    assert again == [three, one, two]
    check_in(pool, again)


async def test_a_connection_that_no_pooler_serves_keeps_prepared_statements(pool: Pool) -> None:
    connection = await next_of(pool)
    await connection.fetchval("select 1")
    assert await connection.fetchval("select bool_or(statement = 'select 1') from pg_prepared_statements")


# ---- waiting for a connection --------------------------------------------------------------------------


async def test_a_waiting_caller_gets_the_connection_that_is_released(pool: Pool) -> None:
    connections = await check_out(pool, pool.size)
    waiting = asyncio.create_task(pool.acquire("alice"))
    await asyncio.sleep(0)
    assert not waiting.done()
    pool.release(connections[1], clean=True)
    assert await waiting is connections[1]
    check_in(pool, connections)


@pytest.mark.usefixtures("short_timeouts")
async def test_a_caller_who_waits_too_long_gets_an_error_and_the_next_one_is_served(pool: Pool) -> None:
    connections = await check_out(pool, pool.size)
    with pytest.raises(DatabaseUnavailableError):
        await Session(pool, "alice", read_only=True).fetchval(WHO)
    check_in(pool, connections)
    assert await Session(pool, "alice", read_only=True).fetchval(WHO) == "alice"
    assert await available(pool) == pool.size


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("released", [0, 1])
async def test_a_caller_who_is_cancelled_while_waiting_takes_no_connection_along(pool: Pool, released: int) -> None:
    connections = await check_out(pool, pool.size)
    waiting = asyncio.create_task(pool.acquire("alice"))
    await asyncio.sleep(0)
    for _ in range(released):
        pool.release(connections.pop(), clean=True)  # for the caller who waits, and does not know yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    check_in(pool, connections)
    assert await available(pool) == pool.size


@pytest.mark.usefixtures("short_timeouts")
async def test_a_caller_who_is_cancelled_at_the_timeout_takes_no_connection_along(
    url: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.CHECK_INTERVAL", 0.6)
    async with Pool(url("app_api"), size=1) as pool:
        connections = await check_out(pool, 1)
        waiting = asyncio.create_task(pool.acquire("alice"))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.7, waiting.cancel)
        time.sleep(0.8)  # noqa: ASYNC251 - the check and the cancellation are due at once now, in this order
        with pytest.raises(asyncio.CancelledError):
            await waiting
        check_in(pool, connections)
        assert await available(pool) == 1


@pytest.mark.usefixtures("short_timeouts")
async def test_a_caller_who_cannot_connect_takes_no_connection_along(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire:
        async with Pool(wire.url, size=1) as pool:
            with pytest.raises(DatabaseUnavailableError):  # refused
                await pool.acquire("alice")
            wire.open()
            assert await available(pool) == 1

            pool.expire()
            wire.freeze()
            with pytest.raises(DatabaseUnavailableError):  # no response
                await pool.acquire("alice")
            connecting = asyncio.create_task(pool.acquire("alice"))
            await asyncio.sleep(0.1)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            wire.thaw()
            assert await available(pool) == 1


# ---- what is not checked out again ---------------------------------------------------------------------


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("moment", ["begin", "query", "commit"])
async def test_a_connection_with_a_pending_response_is_never_used_again(url: Url, moment: str) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            session = Session(pool, "alice", read_only=True)
            connection = await next_of(pool)
            caller = asyncio.create_task(freeze_at(moment, wire, session))
            await asyncio.sleep(0.1)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            await until_closed(connection)
            wire.thaw()
            assert await session.fetchval(WHO) == "alice"
            assert await available(pool) == 1


async def test_a_connection_with_an_open_transaction_is_not_clean_whatever_is_said(pool: Pool) -> None:
    connection = await pool.acquire("alice")
    await connection.execute("begin")
    pool.release(connection, clean=True)
    assert await next_of(pool) is not connection
    await until_closed(connection)


async def test_a_query_that_nobody_waits_for_any_more_is_cancelled(pool: Pool, admin: psycopg.Connection) -> None:
    session = Session(pool, "alice", read_only=True)
    caller = asyncio.create_task(session.fetchval("select pg_sleep(60)"))
    running = "select from pg_stat_activity where query like 'select pg_sleep(60)%' and state = 'active'"

    async def until(number: int) -> None:
        async with asyncio.timeout(10):
            while len(admin.execute(running).fetchall()) != number:
                admin.rollback()
                await asyncio.sleep(0.02)

    await until(1)
    caller.cancel()
    await until(0)


async def test_a_connection_that_the_server_has_closed_is_not_checked_out(
    pool: Pool, admin: psycopg.Connection
) -> None:
    session = Session(pool, "alice", read_only=True)
    connections = await check_out(pool, 2)
    check_in(pool, connections)
    await kill(admin, connections[1])
    assert await session.fetchval(BACKEND) == connections[0].get_server_pid()
    await kill(admin, connections[0])
    assert await session.fetchval(WHO) == "alice"


# ---- how long a connection lives -----------------------------------------------------------------------


@pytest.fixture
def frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check deadlines and lifetimes often."""
    monkeypatch.setattr("db.pool.CHECK_INTERVAL", 0.02)


@pytest.mark.usefixtures("short_timeouts", "frequent_checks")
async def test_connections_that_are_idle_for_too_long_are_closed_without_any_request(url: Url) -> None:
    async with Pool(url("app_api"), size=3, idle_lifetime=0.3) as pool:
        busy, idle, other = connections = await check_out(pool, 3)
        check_in(pool, connections[1:])
        for _ in range(20):  # one of three is enough: the last one that was released
            await busy.fetchval("select 1")
            check_in(pool, [busy])
            await asyncio.sleep(0.02)
            assert await check_out(pool, 1) == [busy]
        await asyncio.gather(until_closed(idle), until_closed(other))
        check_in(pool, [busy])
        assert await available(pool) == 3


@pytest.mark.usefixtures("short_timeouts", "frequent_checks")
async def test_connections_are_closed_when_they_are_old_but_not_while_they_are_in_use(url: Url) -> None:
    async with Pool(url("app_api"), size=2, max_lifetime=0.2) as pool:
        idle, in_use = connections = await check_out(pool, 2)
        check_in(pool, [idle])
        await until_closed(idle)
        assert await in_use.fetchval("select 1 from pg_sleep(0.1)") == 1
        check_in(pool, [in_use])
        assert await next_of(pool) not in connections
        assert await available(pool) == 2


async def test_connections_that_were_opened_together_are_not_renewed_together(url: Url) -> None:
    async with Pool(url("app_api"), size=3, max_lifetime=1000) as pool:
        check_in(pool, await check_out(pool, 3))
        ends = sorted(member.expires - asyncio.get_running_loop().time() for member in pool._idle)  # noqa: SLF001
        assert 890 < ends[0] < ends[2] - 1 < 1000


# ---- expiry, and the end -------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_timeouts")
async def test_expired_connections_are_closed_at_once_or_when_they_are_released(pool: Pool) -> None:
    idle, in_use = await check_out(pool, 2)
    pool.release(idle, clean=True)
    pool.expire()
    assert idle.is_closed()
    assert await in_use.fetchval("select 1") == 1
    pool.release(in_use, clean=True)
    assert in_use.is_closed()
    assert await available(pool) == pool.size


async def test_a_connection_that_was_being_opened_expires_too(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            wire.freeze()
            opening = asyncio.create_task(pool.acquire("alice"))
            await asyncio.sleep(0.1)
            pool.expire()
            wire.thaw()
            connection = await opening
            assert await connection.fetchval("select 1") == 1
            pool.release(connection, clean=True)
            assert connection.is_closed()


async def test_a_connection_that_is_opened_after_the_expiry_is_kept(pool: Pool) -> None:
    pool.expire()
    connection = await next_of(pool)
    assert await next_of(pool) is connection


async def test_a_pool_that_is_closed_leaves_nothing_open(url: Url) -> None:
    async with Pool(url("app_api"), size=3) as pool:
        idle, in_use, unclean = await check_out(pool, 3)
        pool.release(idle, clean=True)
        pool.release(unclean, clean=False)
    assert idle.is_closed()
    assert unclean.is_closed()
    assert not in_use.is_closed()
    pool.release(in_use, clean=True)
    assert in_use.is_closed()


# ---- servers that hang, callers that dawdle ------------------------------------------------------------


@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("moment", ["begin", "query", "commit"])
async def test_a_server_that_hangs_is_not_waited_for(url: Url, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    monkeypatch.setattr("db.pool.CHECKOUT_TIMEOUT", 1)
    monkeypatch.setattr("db.pool.CHECK_INTERVAL", 0.05)
    monkeypatch.setattr("db.pool.BEGIN_TIMEOUT", 0.5)
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            session = Session(pool, "alice", read_only=True)
            connection = await next_of(pool)
            with pytest.raises(DatabaseUnavailableError):
                await asyncio.wait_for(freeze_at(moment, wire, session), 10)
            assert connection.is_closed()
            wire.thaw()
            assert await session.fetchval(WHO) == "alice"
            assert await available(pool) == 1


@pytest.mark.usefixtures("frequent_checks")
async def test_a_statement_may_take_longer_than_its_begin(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.pool.BEGIN_TIMEOUT", 0.2)
    session = Session(pool, "alice", read_only=True)
    for _ in range(2):
        assert await session.fetchval(f"{WHO} from pg_sleep(0.5)") == "alice"
    async with session.transaction() as transaction:
        await asyncio.sleep(0.5)  # nothing is sent, so nothing is waited for
        assert await transaction.fetchval(WHO) == "alice"


@pytest.mark.usefixtures("frequent_checks")
async def test_a_caller_who_dawdles_before_the_first_statement_waits_no_longer_for_a_server_that_hangs(
    url: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.BEGIN_TIMEOUT", 0.5)

    async def dawdle(session: Session) -> None:
        async with session.transaction() as transaction:
            await asyncio.sleep(0.2)
            await transaction.fetchval(WHO)

    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            await next_of(pool)
            wire.freeze()
            with pytest.raises(DatabaseUnavailableError):
                await asyncio.wait_for(dawdle(Session(pool, "alice", read_only=True)), 5)
            wire.thaw()
            assert await available(pool) == 1


@pytest.mark.usefixtures("frequent_checks")
async def test_after_a_silent_failover_one_caller_waits_for_an_old_connection_and_no_other(
    url: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.BEGIN_TIMEOUT", 0.5)
    monkeypatch.setattr("db.pool.EXPIRY_INTERVAL", 0)
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=3) as pool:
            old = await check_out(pool, 3)
            check_in(pool, old)
            wire.freeze()
            wire.replace()
            session = Session(pool, "alice", read_only=False)
            with pytest.raises(DatabaseUnavailableError):
                await asyncio.wait_for(session.fetchval(WHO), 5)  # much less than a whole transaction has
            assert all(connection.is_closed() for connection in old)
            assert await session.fetchval(WHO) == "alice"
            assert wire.connections == 4


@pytest.mark.usefixtures("frequent_checks")
@pytest.mark.parametrize("begin_timeout", [0.4, 60])
async def test_waiting_connecting_and_the_transaction_have_one_deadline(
    url: Url, monkeypatch: pytest.MonkeyPatch, begin_timeout: float
) -> None:
    monkeypatch.setattr("db.pool.BEGIN_TIMEOUT", begin_timeout)
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1, checkout_timeout=1) as pool:
            connection = await pool.acquire("alice", deadline=math.inf)
            late = asyncio.create_task(Session(pool, "alice", read_only=True).fetchval("select pg_sleep(60)"))
            await asyncio.sleep(0.7)
            wire.freeze()
            pool.release(connection, clean=False)
            started = time.monotonic()
            with pytest.raises(DatabaseUnavailableError):
                await late
            assert time.monotonic() - started < 0.7  # of the second it has waited 0.7 already


async def test_a_caller_who_keeps_a_connection_for_too_long_loses_it(url: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.pool.CHECK_INTERVAL", 0.05)

    async def dawdle(pool: Pool) -> None:
        async with Session(pool, "alice", read_only=True).transaction() as transaction:
            await transaction.fetchval(WHO)
            await asyncio.sleep(0.5)

    async with Pool(url("app_api"), size=1) as pool:
        await next_of(pool)
        monkeypatch.setattr("db.pool.CHECKOUT_TIMEOUT", 0.1)
        with pytest.raises(DatabaseUnavailableError):
            await dawdle(pool)
        monkeypatch.setattr("db.pool.CHECKOUT_TIMEOUT", 15)
        assert await Session(pool, "alice", read_only=True).fetchval(WHO) == "alice"


@pytest.mark.usefixtures("short_timeouts")
async def test_a_connection_that_was_kept_for_too_long_is_not_checked_out_again(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await next_of(pool)
    monkeypatch.setattr("db.pool.CHECKOUT_TIMEOUT", 0)
    connection = await pool.acquire("alice")
    assert connection is opened
    monkeypatch.setattr("db.pool.CHECKOUT_TIMEOUT", 15)
    await until_closed(connection)
    pool.release(connection, clean=True)
    assert await next_of(pool) is not connection
    assert await available(pool) == pool.size
