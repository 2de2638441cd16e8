"""The one door: what `db.session` promises about transactions, contexts and round trips."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from db.connect import DatabaseUnavailableError
from db.pool import Pool
from db.session import Session, begin_statement, is_user_id
from tests.support.database import Url
from tests.support.wire import Wire

pytestmark = pytest.mark.anyio

WHO = "select app.current_user_id()"
BACKEND = "select pg_backend_pid()"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def pool(url: Url) -> AsyncIterator[Pool]:
    """A small pool of the API's role."""
    async with Pool(url("app_api"), size=3) as pool:
        yield pool


@pytest.fixture
def row(admin: psycopg.Connection) -> None:
    """One task of Alice."""
    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'x')")
    admin.commit()


async def leftovers(pool: Pool) -> set[tuple[str | None, bool]]:
    """Return the context and the transaction state of every connection that the pool can give."""
    held = [await pool.acquire() for _ in range(pool.size)]
    found = {(await connection.fetchval(WHO), connection.is_in_transaction()) for connection in held}
    for connection in held:
        pool.release(connection, clean=True)
    return found


NOTHING = {(None, False)}


# ---- the context -------------------------------------------------------------------------------------


async def test_a_query_runs_as_the_user_of_the_session(pool: Pool) -> None:
    assert await Session(pool, "alice", read_only=True).fetchval(WHO) == "alice"
    assert [tuple(row) for row in await Session(pool, "bob", read_only=True).fetch(WHO)] == [("bob",)]


async def test_the_context_ends_with_the_transaction(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    session = Session(pool, "alice", read_only=False)
    await session.fetchval(WHO)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await session.fetchval("select 1/0")
    with pytest.raises(ZeroDivisionError):
        async with session.transaction():
            raise ZeroDivisionError
    assert await leftovers(pool) == NOTHING
    assert caplog.records == []  # asyncpg complains when it has to roll back for us


async def test_the_context_ends_when_the_caller_is_cancelled_at_any_moment(pool: Pool) -> None:
    async def call(number: int) -> None:
        session = Session(pool, f"user{number}", read_only=True)
        assert await session.fetchval(f"{WHO} from pg_sleep(0.002)") == f"user{number}"

    chance = random.Random(1)  # noqa: S311 - no secret, but the same every time
    tasks = [asyncio.create_task(call(number)) for number in range(300)]
    while not all(task.done() for task in tasks):
        chance.choice(tasks).cancel()
        await asyncio.sleep(chance.random() * 0.003)
    results = await asyncio.gather(*tasks, return_exceptions=True)

    cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert cancelled > 10
    assert cancelled + results.count(None) == len(tasks)
    assert await leftovers(pool) == NOTHING


@pytest.fixture
def ask(url: Url) -> Iterator[Callable[[str, str], object]]:
    """Bind to a user id; return what the server takes it for. Each kind of string literals has its connection."""
    with asyncio.Runner() as runner:
        connections = {
            literals: runner.run(
                asyncpg.connect(url("app_api"), server_settings={"standard_conforming_strings": literals})
            )
            for literals in ("on", "off")
        }

        async def bind_and_ask(literals: str, user_id: str) -> object:
            connection = connections[literals]
            try:
                await connection.execute(begin_statement(user_id, read_only=True))
                return await connection.fetchval(WHO)
            finally:
                await connection.execute("rollback")

        yield lambda literals, user_id: runner.run(bind_and_ask(literals, user_id))
        for connection in connections.values():
            runner.run(connection.close())


hostile = st.text(st.sampled_from("'\"\\$-/*;:%_{}()eE\U0001f9f1é語\u2028\xa0 ab1@."), min_size=1, max_size=255)


@hypothesis_settings(
    max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(literals=st.sampled_from(["on", "off"]), user_id=hostile | st.text().filter(is_user_id))
@example(literals="on", user_id="'; drop table app.tasks; --")
@example(literals="off", user_id="\\'; drop table app.tasks; --")
@example(literals="on", user_id="$$ || $1 /*")
@example(literals="on", user_id="é" * 255)
def test_whatever_the_id_is_the_server_takes_it_literally(
    ask: Callable[[str, str], object], literals: str, user_id: str
) -> None:
    assert ask(literals, user_id) == user_id


@pytest.mark.parametrize("value", ["", "a" * 256, "a\0b", "a\nb", "\x7f", "\x85", "\ud800", None, 7, b"alice"])
async def test_what_cannot_be_a_user_id_never_reaches_the_server(pool: Pool, value: object) -> None:
    assert not is_user_id(value)
    with pytest.raises(ValueError, match="not a user id"):
        Session(pool, value, read_only=True)  # type: ignore[arg-type]  # the point of the test


# ---- the transaction ---------------------------------------------------------------------------------


async def test_one_statement_is_three_round_trips(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            session = Session(pool, "alice", read_only=True)
            await session.fetchval(WHO)  # connects, and prepares the statement
            before = wire.round_trips
            await session.fetchval(WHO)
            assert wire.round_trips - before == 3


async def test_a_session_for_reading_cannot_write(pool: Pool) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await Session(pool, "alice", read_only=True).fetchval("insert into app.tasks (text) values ('x')")


async def test_a_transaction_is_committed_whole_or_not_at_all(pool: Pool, admin: psycopg.Connection) -> None:
    session = Session(pool, "alice", read_only=False)
    await add(session, "kept", "kept too")
    with pytest.raises(asyncpg.CheckViolationError):
        await add(session, "lost", "")
    assert admin.execute("select text from app.tasks").fetchall() == [("kept",), ("kept too",)]


async def add(session: Session, *texts: str) -> None:
    """Add tasks in one transaction."""
    async with session.transaction() as transaction:
        for text in texts:
            await transaction.execute("insert into app.tasks (text) values ($1)", text)


async def test_a_commit_that_fails_is_an_error(pool: Pool, admin: psycopg.Connection) -> None:
    refuse_at_commit(admin)
    with pytest.raises(asyncpg.RaiseError, match="refused at commit"):
        await Session(pool, "alice", read_only=False).fetchval("insert into app.tasks (text) values ('x') returning id")
    assert await leftovers(pool) == NOTHING


# ---- the pool ----------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a connection."""
    monkeypatch.setattr("db.pool.PATIENCE", 0.5)


async def lendable(pool: Pool) -> int:
    """Return how many connections the pool lends at once. It should be exactly its size."""
    found = await asyncio.gather(*(pool.acquire() for _ in range(pool.size + 1)), return_exceptions=True)
    held = [one for one in found if isinstance(one, asyncpg.Connection)]
    for connection in held:
        pool.release(connection, clean=True)
    return len(held)


async def first_of(pool: Pool) -> asyncpg.Connection:
    """Return the connection that the pool will lend next."""
    connection = await pool.acquire()
    pool.release(connection, clean=True)
    return connection


async def kill(admin: psycopg.Connection, connection: asyncpg.Connection) -> None:
    """Let the server close a connection; wait until the connection knows."""
    admin.execute("select pg_terminate_backend(%s)", [connection.get_server_pid()])
    await until_closed(connection)


async def freeze_at(moment: str, wire: Wire, session: Session) -> None:
    """Run a transaction; the network freezes before one of its three messages."""
    if moment == "begin":
        wire.freeze()
    async with session.transaction() as transaction:
        if moment == "query":
            wire.freeze()
        await transaction.fetchval(WHO)
        if moment == "commit":
            wire.freeze()


async def test_a_crowd_shares_the_connections(pool: Pool, admin: psycopg.Connection) -> None:
    session = Session(pool, "alice", read_only=True)
    backends = await asyncio.gather(*(session.fetchval(f"{BACKEND} from pg_sleep(0.01)") for _ in range(20)))
    assert len(set(backends)) == pool.size
    found = admin.execute(
        "select pid from pg_stat_activity where usename = 'app_api' and datname = current_database()"
    ).fetchall()
    assert {pid for (pid,) in found} == set(backends)


@pytest.mark.usefixtures("impatient")
async def test_who_waits_too_long_is_told_so_and_the_next_one_is_served(pool: Pool) -> None:
    held = [await pool.acquire() for _ in range(pool.size)]
    with pytest.raises(DatabaseUnavailableError):
        await Session(pool, "alice", read_only=True).fetchval(WHO)
    for connection in held:
        pool.release(connection, clean=True)
    assert await Session(pool, "alice", read_only=True).fetchval(WHO) == "alice"
    assert await lendable(pool) == pool.size


async def test_who_waits_gets_the_connection_that_comes_back(pool: Pool) -> None:
    held = [await pool.acquire() for _ in range(pool.size)]
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    assert not waiting.done()
    pool.release(held[1], clean=True)
    assert await waiting is held[1]
    for connection in held:
        pool.release(connection, clean=True)


async def test_the_connection_that_came_back_last_goes_out_first(pool: Pool) -> None:
    one, two, three = [await pool.acquire() for _ in range(3)]
    for connection in (two, one, three):
        pool.release(connection, clean=True)
    again = [await pool.acquire() for _ in range(3)]
    assert again == [three, one, two]
    for connection in again:
        pool.release(connection, clean=True)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("moment", ["begin", "query", "commit"])
async def test_a_connection_whose_answer_nobody_awaited_is_never_used_again(url: Url, moment: str) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            session = Session(pool, "alice", read_only=True)
            connection = await first_of(pool)
            caller = asyncio.create_task(freeze_at(moment, wire, session))
            await asyncio.sleep(0.1)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            await until_closed(connection)
            wire.thaw()
            assert await session.fetchval(WHO) == "alice"
            assert await lendable(pool) == 1


async def test_a_block_that_is_left_while_its_query_runs_is_an_error(pool: Pool) -> None:
    connection = await first_of(pool)
    queries = []

    async def call() -> None:
        async with Session(pool, "alice", read_only=True).transaction() as transaction:
            queries.append(asyncio.ensure_future(transaction.fetchval("select pg_sleep(5)")))
            await asyncio.sleep(0)

    with pytest.raises(asyncpg.InterfaceError, match="in progress"):
        await call()
    await until_closed(connection)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await queries[0]


async def test_a_connection_with_a_transaction_open_is_not_clean_whatever_is_said(pool: Pool) -> None:
    connection = await pool.acquire()
    await connection.execute("begin")
    pool.release(connection, clean=True)
    assert await first_of(pool) is not connection
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


async def test_an_error_that_the_block_swallows_is_told_at_its_end(pool: Pool, admin: psycopg.Connection) -> None:
    session = Session(pool, "alice", read_only=False)

    async def add_and_stumble() -> None:
        async with session.transaction() as transaction:
            await transaction.execute("insert into app.tasks (text) values ('x')")
            with suppress(asyncpg.DivisionByZeroError):
                await transaction.execute("select 1/0")

    with pytest.raises(asyncpg.InFailedSQLTransactionError, match="nothing is saved"):
        await add_and_stumble()
    assert admin.execute("select from app.tasks").fetchall() == []
    assert await leftovers(pool) == NOTHING


async def test_a_transaction_cannot_be_entered_twice(pool: Pool) -> None:
    async def enter_twice() -> None:
        async with Session(pool, "alice", read_only=True).transaction() as transaction, transaction:
            pass

    with pytest.raises(asyncpg.InterfaceError, match="has begun already"):
        await enter_twice()
    assert await lendable(pool) == pool.size


async def test_after_an_error_that_ended_the_transaction_the_same_connection_is_used_again(
    pool: Pool, admin: psycopg.Connection
) -> None:
    session = Session(pool, "alice", read_only=False)
    backend = await session.fetchval(BACKEND)

    with pytest.raises(asyncpg.DivisionByZeroError):
        await session.fetchval("select 1/0")
    assert await session.fetchval(BACKEND) == backend

    with pytest.raises(asyncpg.InterfaceError):  # a caller's mistake: where is $1?
        await session.fetchval("select $1::int")
    assert await session.fetchval(BACKEND) == backend

    with pytest.raises(ZeroDivisionError):
        async with session.transaction():
            raise ZeroDivisionError
    assert await session.fetchval(BACKEND) == backend

    refuse_at_commit(admin)
    with pytest.raises(asyncpg.RaiseError, match="refused at commit"):
        await add(session, "x")
    assert await session.fetchval(BACKEND) == backend


@pytest.mark.parametrize("method", ["execute", "fetch", "fetchval"])
async def test_a_transaction_is_of_no_use_outside_of_its_block(pool: Pool, method: str) -> None:
    session = Session(pool, "alice", read_only=True)
    async with session.transaction() as over:
        await getattr(over, method)(WHO)
    with pytest.raises(ZeroDivisionError):
        async with session.transaction() as failed:
            raise ZeroDivisionError
    for transaction in (over, failed, session.transaction()):
        with pytest.raises(asyncpg.InterfaceError, match="is over, or has not begun"):
            await getattr(transaction, method)(WHO)


@pytest.mark.usefixtures("impatient")
async def test_connections_that_expire_are_closed_at_once_or_when_they_come_back(pool: Pool) -> None:
    idle, lent = await pool.acquire(), await pool.acquire()
    pool.release(idle, clean=True)
    pool.expire()
    assert idle.is_closed()
    assert await lent.fetchval("select 1") == 1
    pool.release(lent, clean=True)
    assert lent.is_closed()
    assert await lendable(pool) == pool.size


async def test_a_connection_that_was_being_opened_expires_too(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            wire.freeze()
            opening = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0.1)
            pool.expire()
            wire.thaw()
            connection = await opening
            assert await connection.fetchval("select 1") == 1
            pool.release(connection, clean=True)
            assert connection.is_closed()


async def test_a_pool_that_is_left_leaves_nothing_open(url: Url) -> None:
    async with Pool(url("app_api"), size=1) as pool:
        connection = await first_of(pool)
        assert not connection.is_closed()
    assert connection.is_closed()


@pytest.mark.usefixtures("impatient")
async def test_what_was_idle_for_too_long_is_not_lent(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    old = [await pool.acquire() for _ in range(2)]
    for connection in old:
        pool.release(connection, clean=True)
    await asyncio.sleep(0.02)
    monkeypatch.setattr("db.pool.IDLE_LIFETIME", 0.01)
    assert await first_of(pool) not in old
    assert all(connection.is_closed() for connection in old)
    monkeypatch.setattr("db.pool.IDLE_LIFETIME", 300)
    assert await lendable(pool) == pool.size


async def test_what_the_server_has_closed_is_not_lent(pool: Pool, admin: psycopg.Connection) -> None:
    session = Session(pool, "alice", read_only=True)
    connections = [await pool.acquire() for _ in range(2)]
    for connection in connections:
        pool.release(connection, clean=True)
    await kill(admin, connections[1])
    assert await session.fetchval(BACKEND) == connections[0].get_server_pid()
    await kill(admin, connections[0])
    assert await session.fetchval(WHO) == "alice"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("released", [0, 1])
async def test_who_is_cancelled_while_waiting_for_a_connection_takes_none_along(pool: Pool, released: int) -> None:
    held = [await pool.acquire() for _ in range(pool.size)]
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    for _ in range(released):
        pool.release(held.pop(), clean=True)  # for the one who waits, and does not know yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    for connection in held:
        pool.release(connection, clean=True)
    assert await lendable(pool) == pool.size


@pytest.mark.usefixtures("impatient")
async def test_who_is_cancelled_when_the_patience_ends_takes_none_along(
    url: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.LOOK_EVERY", 0.6)
    async with Pool(url("app_api"), size=1) as pool:
        held = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.7, waiting.cancel)
        time.sleep(0.8)  # noqa: ASYNC251 - the look and the cancellation are due at once now, in this order
        with pytest.raises(asyncio.CancelledError):
            await waiting
        pool.release(held, clean=True)
        assert await lendable(pool) == 1


@pytest.mark.usefixtures("impatient")
async def test_who_cannot_connect_takes_no_place(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire:
        async with Pool(wire.url, size=1) as pool:
            with pytest.raises(DatabaseUnavailableError):  # refused
                await pool.acquire()
            wire.open()
            assert await lendable(pool) == 1

            pool.expire()
            wire.freeze()
            with pytest.raises(DatabaseUnavailableError):  # met with silence
                await pool.acquire()
            connecting = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0.1)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            wire.thaw()
            assert await lendable(pool) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("moment", ["begin", "query", "commit"])
async def test_a_server_that_hangs_is_not_waited_for(url: Url, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    monkeypatch.setattr("db.pool.LENT_FOR", 1)
    monkeypatch.setattr("db.pool.LOOK_EVERY", 0.05)
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            session = Session(pool, "alice", read_only=True)
            connection = await first_of(pool)
            with pytest.raises(DatabaseUnavailableError):
                await asyncio.wait_for(freeze_at(moment, wire, session), 10)
            assert connection.is_closed()
            wire.thaw()
            assert await session.fetchval(WHO) == "alice"
            assert await lendable(pool) == 1


async def test_who_holds_a_connection_for_too_long_loses_it(url: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.pool.LENT_FOR", 0.1)
    monkeypatch.setattr("db.pool.LOOK_EVERY", 0.05)

    async def dawdle(pool: Pool) -> None:
        async with Session(pool, "alice", read_only=True).transaction():
            await asyncio.sleep(0.5)

    async with Pool(url("app_api"), size=1) as pool:
        with pytest.raises(DatabaseUnavailableError):
            await dawdle(pool)
        monkeypatch.setattr("db.pool.LENT_FOR", 15)
        assert await Session(pool, "alice", read_only=True).fetchval(WHO) == "alice"


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_was_taken_away_is_not_lent_again(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await pool.acquire()
    monkeypatch.setattr("db.pool.LENT_FOR", -1)
    await until_closed(connection)
    monkeypatch.setattr("db.pool.LENT_FOR", 15)
    pool.release(connection, clean=True)
    assert await first_of(pool) is not connection
    assert await lendable(pool) == pool.size


# ---- the retry ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("row")
async def test_no_connection_stumbles_over_a_plan_that_a_migration_made_stale(
    pool: Pool, admin: psycopg.Connection
) -> None:
    session = Session(pool, "alice", read_only=True)
    held = [await pool.acquire() for _ in range(3)]  # so that each of them prepares the statement
    for connection in held:
        pool.release(connection, clean=True)
    await asyncio.gather(*(session.fetch("select *, pg_sleep(0.05) from app.tasks") for _ in held))

    admin.execute("alter table app.tasks add column colour text")
    admin.commit()

    answers = await asyncio.gather(*(session.fetch("select *, pg_sleep(0.05) from app.tasks") for _ in held))
    assert [len(rows[0]) for rows in answers] == [10, 10, 10]


@pytest.mark.usefixtures("row")
async def test_a_serialization_failure_is_tried_once_more(pool: Pool, admin: psycopg.Connection) -> None:
    admin.execute("alter role app_api set default_transaction_isolation = 'repeatable read'")
    admin.commit()
    try:
        admin.execute("update app.tasks set text = 'theirs'")
        session = Session(pool, "alice", read_only=False)
        ours = asyncio.create_task(session.fetchval("update app.tasks set text = text || ' and ours' returning text"))
        await blocked(admin)
        admin.commit()
        assert await ours == "theirs and ours"
    finally:
        admin.execute("alter role app_api reset default_transaction_isolation")
        admin.commit()


async def test_a_deadlock_is_tried_once_more(pool: Pool, admin: psycopg.Connection) -> None:
    admin.execute("set deadlock_timeout = '1min'")  # the other side finds it first, and is the victim
    admin.execute("""insert into app.tasks (user_id, text, "order") values ('alice', 'a', 1), ('alice', 'b', 2)""")
    admin.commit()
    admin.execute("""update app.tasks set text = 'theirs' where "order" = 2""")
    session = Session(pool, "alice", read_only=False)
    # The pause leaves the row to the other side when the second try begins.
    ours = asyncio.create_task(
        session.fetch(
            "update app.tasks set text = text || ' and ours' where (select pg_sleep(0.2)) is not null returning text"
        )
    )
    await blocked(admin)

    def close_the_circle() -> None:
        admin.execute("""update app.tasks set text = 'theirs' where "order" = 1""")
        admin.commit()

    await asyncio.to_thread(close_the_circle)
    assert [text for (text,) in await ours] == ["theirs and ours"] * 2


async def test_there_are_two_tries_and_no_third(pool: Pool, admin: psycopg.Connection) -> None:
    admin.execute("""
        create sequence tries;
        create function fail() returns text language plpgsql security definer as
        $$begin perform nextval('tries'); raise serialization_failure; end$$;
    """)
    admin.commit()
    with pytest.raises(asyncpg.SerializationError):
        await Session(pool, "alice", read_only=False).fetchval("select public.fail()")
    assert admin.execute("select last_value from tries").fetchone() == (2,)


# ---- when the database is away -----------------------------------------------------------------------


async def test_a_connection_that_breaks_is_unavailability_and_the_next_call_gets_a_new_one(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=2) as pool:
            session = Session(pool, "alice", read_only=True)
            assert await session.fetchval(WHO) == "alice"
            asleep = asyncio.create_task(session.fetchval("select pg_sleep(10)"))
            await asyncio.sleep(0.1)
            wire.cut()
            with pytest.raises(DatabaseUnavailableError):
                await asleep
            with pytest.raises(DatabaseUnavailableError):
                await session.fetchval(WHO)
            wire.mend()
            assert await session.fetchval(WHO) == "alice"
            assert await leftovers(pool) == NOTHING


@pytest.mark.parametrize("moment", ["query", "commit"])
async def test_a_connection_that_breaks_between_two_statements_is_unavailability(
    pool: Pool, admin: psycopg.Connection, moment: str
) -> None:
    session = Session(pool, "alice", read_only=True)
    connection = await first_of(pool)

    async def call() -> None:
        async with session.transaction() as transaction:
            await kill(admin, connection)
            if moment == "query":
                await transaction.fetchval(WHO)

    with pytest.raises(DatabaseUnavailableError):
        await call()
    assert await session.fetchval(WHO) == "alice"


async def until_closed(connection: asyncpg.Connection) -> None:
    """Return when the connection is closed."""
    closed = asyncio.Event()
    connection.add_termination_listener(lambda _: closed.set())
    if not connection.is_closed():
        await asyncio.wait_for(closed.wait(), 10)


async def blocked(admin: psycopg.Connection) -> None:
    """Wait until a session of the API waits for a lock."""
    query = "select from pg_stat_activity where usename = 'app_api' and wait_event_type = 'Lock'"
    while not admin.execute(query).fetchall():
        admin.execute("select pg_stat_clear_snapshot()")
        await asyncio.sleep(0.01)


def refuse_at_commit(admin: psycopg.Connection) -> None:
    """Make every new task fail when its transaction commits."""
    admin.execute("""
        create function refuse() returns trigger language plpgsql as
        $$begin raise 'refused at commit'; end$$;
        create constraint trigger refuse after insert on app.tasks deferrable initially deferred
        for each row execute function refuse();
    """)
    admin.commit()
