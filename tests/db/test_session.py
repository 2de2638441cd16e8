"""What `db.session` promises about contexts, transactions and round trips."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from db.connect import DatabaseReadOnlyError, DatabaseUnavailableError, connect, is_unavailable, sqlstate
from db.connection import Connection
from db.pool import Pool
from db.session import Session, begin_statement, is_user_id
from tests.support.connections import AT_ONCE, BACKEND, WHO, check_in, check_out, kill, next_of, until_closed
from tests.support.database import Url
from tests.support.wire import Wire

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("way")]


@pytest.fixture
def row(admin: psycopg.Connection) -> None:
    """One task of Alice."""
    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'x')")
    admin.commit()


async def leftovers(pool: Pool) -> set[tuple[str | None, bool]]:
    """Return the context and the transaction state of every connection of the pool."""
    connections = await check_out(pool, pool.size)
    found = {(await connection.fetchval(WHO), connection.is_in_transaction()) for connection in connections}
    check_in(pool, connections)
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
@given(literals=st.sampled_from(["on", "off"]), user_id=(hostile | st.text()).filter(is_user_id))
@example(literals="on", user_id="'; drop table app.tasks; --")
@example(literals="off", user_id="\\'; drop table app.tasks; --")
@example(literals="on", user_id="$$ || $1 /*")
@example(literals="on", user_id="é" * 255)
def test_whatever_the_id_is_the_server_takes_it_literally(
    ask: Callable[[str, str], object], literals: str, user_id: str
) -> None:
    assert ask(literals, user_id) == user_id


@pytest.mark.parametrize(
    "value", ["", "a" * 256, "a\0b", "a\nb", "\x7f", "\x85", "\ud800", ".", "..", None, 7, b"alice"]
)
async def test_what_cannot_be_a_user_id_never_reaches_the_server(pool: Pool, value: object) -> None:
    assert not is_user_id(value)
    with pytest.raises(ValueError, match="not a user id"):
        Session(pool, value, read_only=True)  # type: ignore[arg-type]  # the point of the test


# ---- the transaction ---------------------------------------------------------------------------------


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_statement_is_one_round_trip_and_a_transaction_of_two_is_three(
    url: Url,
    way: str,
    read_only: bool,  # noqa: FBT001 - a test parameter
) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            session = Session(pool, "alice", read_only=read_only)
            await session.fetchval(WHO)  # connects, and prepares the statement
            before = wire.round_trips
            await session.fetchval(WHO)
            single = wire.round_trips - before
            async with session.transaction() as transaction:
                await transaction.fetchval(WHO)
                await transaction.fetch(WHO)
            assert (single, wire.round_trips - before - single) == ((1, 3) if way == AT_ONCE else (3, 4))


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
            await transaction.fetch("insert into app.tasks (text) values ($1)", text)


async def test_a_commit_that_fails_is_an_error(pool: Pool, admin: psycopg.Connection) -> None:
    refuse_at_commit(admin)
    with pytest.raises(asyncpg.RaiseError, match="refused at commit"):
        await Session(pool, "alice", read_only=False).fetchval("insert into app.tasks (text) values ('x') returning id")
    assert await leftovers(pool) == NOTHING


async def test_a_block_that_is_left_while_its_query_runs_is_an_error(pool: Pool) -> None:
    connection = await next_of(pool)
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


async def test_an_error_that_the_block_swallows_is_raised_at_its_end(pool: Pool, admin: psycopg.Connection) -> None:
    session = Session(pool, "alice", read_only=False)

    async def add_and_stumble() -> None:
        async with session.transaction() as transaction:
            await transaction.fetch("insert into app.tasks (text) values ('x')")
            with suppress(asyncpg.DivisionByZeroError):
                await transaction.fetch("select 1/0")

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
    assert await leftovers(pool) == NOTHING


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


@pytest.mark.parametrize("method", ["fetch", "fetchval"])
async def test_a_transaction_cannot_be_used_outside_of_its_block(pool: Pool, method: str) -> None:
    session = Session(pool, "alice", read_only=True)
    async with session.transaction() as over:
        await getattr(over, method)(WHO)
    with pytest.raises(ZeroDivisionError):
        async with session.transaction() as failed:
            raise ZeroDivisionError
    for transaction in (over, failed, session.transaction()):
        with pytest.raises(asyncpg.InterfaceError, match="is over, or has not begun"):
            await getattr(transaction, method)(WHO)


# ---- the retry ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("row")
async def test_no_connection_stumbles_over_a_plan_that_a_migration_made_stale(
    pool: Pool, admin: psycopg.Connection
) -> None:
    session = Session(pool, "alice", read_only=True)
    connections = await check_out(pool, 3)  # so that each of them prepares the statement
    check_in(pool, connections)
    await asyncio.gather(*(session.fetch("select *, pg_sleep(0.05) from app.tasks") for _ in connections))

    admin.execute("alter table app.tasks add column colour text")
    admin.commit()

    found = await asyncio.gather(*(session.fetch("select *, pg_sleep(0.05) from app.tasks") for _ in connections))
    assert [len(rows[0]) for rows in found] == [10, 10, 10]


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


async def test_a_statement_that_a_pooler_has_forgotten_is_prepared_again(pool: Pool) -> None:
    session = Session(pool, "alice", read_only=True)
    connections = await check_out(pool, 3)
    check_in(pool, connections)
    await asyncio.gather(*(session.fetch(f"{WHO}, pg_sleep(0.05)") for _ in connections))
    for connection in connections:
        await connection.execute("deallocate all")
    rows = await asyncio.gather(*(session.fetch(f"{WHO}, pg_sleep(0.05)") for _ in connections))
    assert [row[0] for [row] in rows] == ["alice"] * 3


async def test_there_are_two_tries_and_no_third(pool: Pool, admin: psycopg.Connection) -> None:
    admin.execute("""
        create sequence tries;
        create function fail() returns text language plpgsql security definer as
        $$begin perform nextval('public.tries'); raise serialization_failure; end$$;
    """)
    admin.commit()
    with pytest.raises(asyncpg.SerializationError):
        await Session(pool, "alice", read_only=False).fetchval("select public.fail()")
    assert admin.execute("select last_value from tries").fetchone() == (2,)


# ---- when the database is unavailable ----------------------------------------------------------------


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
    connection = await next_of(pool)

    async def call() -> None:
        async with session.transaction() as transaction:
            await transaction.fetchval(WHO)
            await kill(admin, connection)
            if moment == "query":
                await transaction.fetchval(WHO)

    with pytest.raises(DatabaseUnavailableError):
        await call()
    assert await session.fetchval(WHO) == "alice"


async def end_sessions(admin: psycopg.Connection, *connections: asyncpg.Connection) -> None:
    """Let the server end these sessions; its last words have arrived then."""
    pids = [connection.get_server_pid() for connection in connections]
    admin.execute("select pg_terminate_backend(pid, 5000) from unnest(%s) as pid", [pids])
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("read_only", [True, False])
async def test_sessions_that_the_server_has_ended_while_idle_fail_no_call(
    url: Url,
    admin: psycopg.Connection,
    read_only: bool,  # noqa: FBT001 - a test parameter
) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=3) as pool:
            connections = await check_out(pool, 3)
            check_in(pool, connections)
            wire.withhold_ends()
            await end_sessions(admin, *connections)
            assert not any(connection.is_closed() for connection in connections)
            assert await Session(pool, "alice", read_only=read_only).fetchval(WHO) == "alice"
            assert wire.connections == 4
            assert await leftovers(pool) == NOTHING


@pytest.mark.parametrize("moment", ["query", "commit"])
async def test_a_session_that_the_server_has_ended_amid_a_transaction_is_unavailability(
    url: Url, admin: psycopg.Connection, moment: str
) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        wire.withhold_ends()
        async with Pool(wire.url, size=1) as pool:
            session = Session(pool, "alice", read_only=False)
            connection = await next_of(pool)

            async def call() -> None:
                async with session.transaction() as transaction:
                    await transaction.fetchval("insert into app.tasks (text) values ('x') returning id")
                    await end_sessions(admin, connection)
                    if moment == "query":
                        await transaction.fetchval(WHO)

            with pytest.raises(DatabaseUnavailableError):
                await call()
            assert await session.fetchval("select count(*) from app.tasks") == 0  # nothing was sent again


@pytest.mark.parametrize(
    "limit", ["idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout", "statement_timeout"]
)
async def test_a_session_that_a_timeout_of_the_server_ends_is_unavailability(
    url: Url, admin: psycopg.Connection, limit: str
) -> None:
    if limit == "transaction_timeout" and admin.info.server_version < 170000:
        pytest.skip("PostgreSQL 17 is the first with transaction_timeout")
    name = sql.Identifier(admin.info.dbname)
    admin.execute(sql.SQL("alter role app_api in database {} set {} = '100ms'").format(name, sql.Identifier(limit)))
    admin.commit()

    async def dawdle(session: Session) -> None:
        async with session.transaction() as transaction:
            await transaction.fetchval("select 1")
            await asyncio.sleep(0.3)
            await transaction.fetchval("select pg_sleep(0.3)")

    async with Pool(url("app_api"), size=1) as pool:
        session = Session(pool, "alice", read_only=False)
        refusal = asyncpg.QueryCanceledError if limit == "statement_timeout" else DatabaseUnavailableError
        if limit == "idle_session_timeout":  # no limit of a transaction, and no error of the next one
            await dawdle(session)
            await asyncio.sleep(0.3)
        else:
            with pytest.raises(refusal):
                await dawdle(session)
        assert await session.fetchval(WHO) == "alice"


async def test_a_new_session_that_ends_at_once_is_unavailability_and_not_tried_for_ever(
    url: Url, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Connection] = []

    async def connect_and_lose(*arguments: Any, **keywords: Any) -> Connection:
        opened.append(await connect(*arguments, **keywords))
        await end_sessions(admin, opened[-1])
        return opened[-1]

    monkeypatch.setattr("db.pool.connect", connect_and_lose)
    async with Pool(url("app_api"), size=3) as pool:
        check_in(pool, await check_out(pool, 3))
        with pytest.raises(DatabaseUnavailableError):
            await Session(pool, "alice", read_only=True).fetchval(WHO)
    assert len(opened) == 4


async def test_what_a_pooler_says_at_the_end_of_a_session_is_unavailability(pool: Pool) -> None:
    connection = await next_of(pool)
    said = {"S": "FATAL", "V": "FATAL", "C": "XX000", "M": "the connection to the database is closed"}
    error = asyncpg.PostgresError.new(said)
    assert is_unavailable(error, connection)
    assert not is_unavailable(asyncpg.PostgresError.new(said | {"S": "ERROR", "V": "ERROR"}), connection)


async def test_a_limit_of_the_server_costs_no_connection(url: Url, admin: psycopg.Connection) -> None:
    limits = "alter role app_api in database {} set temp_file_limit = '64kB'"
    admin.execute(sql.SQL(limits).format(sql.Identifier(admin.info.dbname)))
    admin.commit()
    async with Pool(url("app_api"), size=1) as pool:
        session = Session(pool, "alice", read_only=True)
        backend = await session.fetchval(BACKEND)
        with pytest.raises(DatabaseUnavailableError) as caught:
            await session.fetch("select * from generate_series(1, 1000000) as number order by -number offset 999999")
        assert sqlstate(caught.value) == "53400"
        assert await session.fetchval(BACKEND) == backend


async def test_an_error_of_the_blocks_own_is_no_unavailability(pool: Pool) -> None:
    session = Session(pool, "alice", read_only=True)
    backend = await session.fetchval(BACKEND)
    for error in (ConnectionRefusedError(), TimeoutError(), RuntimeError(), asyncpg.InternalClientError()):
        with pytest.raises(type(error)):
            async with session.transaction():
                raise error
    assert await session.fetchval(BACKEND) == backend


# ---- when the database can only be read --------------------------------------------------------------


async def test_a_freeze_holds_and_a_write_says_so_and_its_end_is_noticed(
    url: Url, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.EXPIRY_INTERVAL", 0)
    freeze(admin, "on")
    async with Pool(url("app_api"), size=2) as pool:
        check_in(pool, await check_out(pool, 2))
        session = Session(pool, "alice", read_only=False)
        with pytest.raises(DatabaseReadOnlyError):
            await session.fetchval("insert into app.tasks (text) values ('x') returning id")
        with pytest.raises(DatabaseReadOnlyError):
            await add(session, "x")
        assert await Session(pool, "alice", read_only=True).fetchval("select count(*) from app.tasks") == 0

        freeze(admin, "off")
        with pytest.raises(DatabaseReadOnlyError):  # it was connected before
            await add(session, "x")
        await add(session, "y")
        assert await session.fetchval("select text from app.tasks") == "y"


async def test_a_flood_of_writes_to_a_frozen_database_opens_no_flood_of_connections(
    url: Url, admin: psycopg.Connection
) -> None:
    freeze(admin, "on")
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=2) as pool:
            session = Session(pool, "alice", read_only=False)
            for _ in range(50):
                with pytest.raises(DatabaseReadOnlyError):
                    await add(session, "x")
            assert wire.connections < 10


def freeze(admin: psycopg.Connection, value: str) -> None:
    """Let new sessions be read-only by default, or not."""
    name = sql.Identifier(admin.info.dbname)
    admin.execute(sql.SQL("alter database {} set default_transaction_read_only = {}").format(name, sql.Literal(value)))
    admin.commit()


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


# ---- the last statement, which `commit` may be sent with ----------------------------------------------

ADD = "insert into app.tasks (text) values ($1)"


async def finish(session: Session, first: str, last: str, *arguments: object, swallows: bool = False) -> None:
    async with session.transaction() as transaction:
        await transaction.execute(ADD, first)
        with suppress(*[asyncpg.PostgresError] * swallows):
            await transaction.finish(last, *arguments)


def saved(admin: psycopg.Connection) -> list[str]:
    found = [text for (text,) in admin.execute("select text from app.tasks order by id").fetchall()]
    admin.commit()
    return found


async def test_after_the_last_statement_there_is_no_other(pool: Pool, admin: psycopg.Connection) -> None:
    session = Session(pool, "alice", read_only=False)

    async def go_on() -> None:
        async with session.transaction() as transaction:
            await transaction.execute(ADD, "first")
            await transaction.finish(ADD, "last")
            await transaction.execute(ADD, "on its own")

    for _ in range(2):  # not prepared, and prepared
        with pytest.raises(asyncpg.InterfaceError, match="the last statement"):
            await go_on()
    assert "on its own" not in saved(admin)
    assert await leftovers(pool) == NOTHING


async def test_an_error_of_the_last_statement_undoes_the_first_and_cannot_be_swallowed(
    pool: Pool, admin: psycopg.Connection
) -> None:
    session = Session(pool, "alice", read_only=False)
    for _ in range(2):
        with pytest.raises(asyncpg.CheckViolationError):
            await finish(session, "first", ADD, "")
        with pytest.raises(asyncpg.InFailedSQLTransactionError, match="nothing is saved"):
            await finish(session, "first", ADD, "", swallows=True)
    assert saved(admin) == []
    assert await leftovers(pool) == NOTHING


async def test_an_error_at_the_commit_of_the_last_statement_is_raised_and_undoes_both(
    pool: Pool, admin: psycopg.Connection
) -> None:
    refuse_at_commit(admin)
    session = Session(pool, "alice", read_only=False)
    for _ in range(3):
        with pytest.raises(asyncpg.RaiseError):
            await finish(session, "first", ADD, "last")
    assert saved(admin) == []
    assert await leftovers(pool) == NOTHING


async def test_a_last_statement_whose_types_the_driver_has_to_look_up_is_committed_with_the_first(
    pool: Pool, admin: psycopg.Connection
) -> None:
    admin.execute("grant execute on function pg_catalog.set_config(text, text, boolean) to app_api")  # for asyncpg
    admin.commit()
    session = Session(pool, "alice", read_only=False)
    for _ in range(2):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await finish(session, "first", "select $1::jsonb[], 1/(select 0)", ["1"])
    assert saved(admin) == []
    assert await leftovers(pool) == NOTHING
