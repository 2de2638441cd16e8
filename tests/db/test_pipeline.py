"""What `db.pipeline` promises of a transaction that is sent at once: the same as of one that is sent step by step."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import asyncpg
import psycopg
import pytest
import uvloop
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from db.connect import DatabaseUnavailableError, connect
from db.connection import Connection, Loop, works
from db.pipeline import Pipeline, query
from db.pool import Pool
from db.session import Session
from tests.support.connections import WHO, check_in, check_out, next_of
from tests.support.database import Url
from tests.support.tls import certify
from tests.support.wire import Wire

pytestmark = pytest.mark.anyio

BEGIN = "begin; set local app.user_id = 'alice'"
ADD = "insert into app.tasks (text) values ($1) returning text"


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Return the event loops: their transports are not the same."""
    return "asyncio", {"loop_factory": uvloop.new_event_loop if request.param == "uvloop" else None}


async def opened(url: str) -> Connection:
    return await connect(url, application_name="partywall", statement_cache_size=100, pipelining=True)


@pytest.fixture
async def connection(url: Url) -> AsyncIterator[Connection]:
    """Return a connection."""
    connection = await opened(url("app_api"))
    yield connection
    connection.terminate()


async def at_once(connection: Connection, statement: str, *arguments: object, begin: str = BEGIN) -> Any:
    """Run a statement in a transaction; the second time it is prepared, and all is sent in one write."""
    pipeline = connection.pipeline
    assert pipeline
    pipeline.start(query(begin), commits=True)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        if pipeline.stop():
            await connection.execute("commit")
        assert connection.is_idle()


def texts(admin: psycopg.Connection) -> list[str]:
    """Return the texts of all tasks."""
    found = [text for (text,) in admin.execute("select text from app.tasks order by id").fetchall()]
    admin.commit()
    return found


# ---- what the caller gets ------------------------------------------------------------------------------


async def test_the_statement_runs_between_begin_and_commit(connection: Connection, admin: psycopg.Connection) -> None:
    assert await at_once(connection, ADD, "x") == "x"
    assert await at_once(connection, ADD, "y") == "y"
    assert texts(admin) == ["x", "y"]
    assert await connection.fetchval(WHO) is None


async def test_an_error_of_the_statement_is_raised_and_nothing_is_saved(
    connection: Connection, admin: psycopg.Connection
) -> None:
    for _ in range(2):  # not prepared, and prepared
        with pytest.raises(asyncpg.CheckViolationError):
            await at_once(connection, ADD, "")
    assert texts(admin) == []
    assert await at_once(connection, WHO) == "alice"


@pytest.mark.parametrize(
    ("begin", "error"),
    [
        ("begin; set local app.user_id = 'alice'; select 1/0", asyncpg.DivisionByZeroError),
        ("select 1/0; begin; set local app.user_id = 'alice'", asyncpg.DivisionByZeroError),
        ("beginn", asyncpg.PostgresSyntaxError),
        ("begin; set local statement_timeout = 'never'", asyncpg.InvalidParameterValueError),
    ],
)
@pytest.mark.parametrize("statement", [WHO, ADD, "select 1/0", "delete from app.tasks returning text"])
async def test_an_error_of_begin_is_the_one_that_is_raised_and_the_statement_has_no_rows(
    connection: Connection, admin: psycopg.Connection, begin: str, error: type[Exception], statement: str
) -> None:
    await at_once(connection, ADD, "kept")
    for _ in range(2):
        with pytest.raises(error):
            await at_once(connection, statement, *(["lost"] if statement == ADD else []), begin=begin)
    assert texts(admin) == ["kept"]
    assert await at_once(connection, WHO) == "alice"


async def test_a_block_whose_begin_has_failed_sends_nothing_more(url: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Pool(url("app_api"), size=1) as pool:
        session = Session(pool, "alice", read_only=False)

        async def go_on_after_an_error() -> None:
            async with session.transaction() as transaction:
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await transaction.fetchval(WHO)
                await transaction.execute("notify outside_of_a_transaction")

        for _ in range(2):  # not prepared, and prepared
            with monkeypatch.context() as patch:
                patch.setattr(session, "_begin", "select 1/0; begin")
                with pytest.raises(DatabaseUnavailableError, match="has not begun"):
                    await go_on_after_an_error()
            assert await session.fetchval(WHO) == "alice"


async def test_after_an_error_others_are_raised_too_also_of_statements_that_are_sent_alone(
    connection: Connection,
) -> None:
    for _ in range(2):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await at_once(connection, "select 1/0")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetchval("select 1/0")
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.execute("selekt")


async def test_an_error_of_commit_is_raised(connection: Connection, admin: psycopg.Connection) -> None:
    at_commit(admin, "raise 'refused at commit'")
    for _ in range(2):
        with pytest.raises(asyncpg.RaiseError, match="refused at commit"):
            await at_once(connection, ADD, "x")
    assert texts(admin) == []


async def test_a_commit_that_rolls_back_without_an_error_is_an_error(
    connection: Connection, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await at_once(connection, ADD, "x")
    monkeypatch.setattr("db.pipeline.COMMIT", query("rollback"))
    with pytest.raises(asyncpg.InFailedSQLTransactionError, match="not committed"):
        await at_once(connection, ADD, "y")
    assert texts(admin) == ["x"]


async def test_nobody_gets_an_answer_before_the_commit_is_back(url: Url, admin: psycopg.Connection) -> None:
    at_commit(admin, "perform pg_catalog.pg_advisory_xact_lock(1)")
    async with Pool(url("app_api"), size=1) as pool:
        await Session(pool, "alice", read_only=False).fetchval(WHO)
        admin.execute("select pg_advisory_lock(1)")
        admin.commit()
        adding = asyncio.create_task(Session(pool, "alice", read_only=False).fetchval(ADD, "x"))
        await found(admin, "select from pg_stat_activity where query = 'commit' and wait_event = 'advisory'")
        assert not adding.done()
        assert texts(admin) == []
        admin.execute("select pg_advisory_unlock(1)")
        assert await adding == "x"
        admin.commit()
        assert texts(admin) == ["x"]


async def found(admin: psycopg.Connection, statement: str) -> None:
    """Wait until a statement finds something."""
    admin.commit()  # pg_stat_activity does not change within a transaction
    while not admin.execute(statement.encode()).fetchall():
        admin.commit()
        await asyncio.sleep(0.01)
    admin.commit()


def at_commit(admin: psycopg.Connection, action: str) -> None:
    """Let something happen to every new task when its transaction commits."""
    admin.execute(
        f"""
        create function at_commit() returns trigger language plpgsql as $$begin {action}; return null; end$$;
        create constraint trigger at_commit after insert on app.tasks deferrable initially deferred
        for each row execute function at_commit();
        """.encode()
    )
    admin.commit()


# ---- what comes, in whatever pieces --------------------------------------------------------------------


@pytest.fixture
def in_pieces(admin: psycopg.Connection, url: Url, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that sees that each kind of transaction gives the same, in pieces of these sizes."""
    admin.execute("""
        create function notice(text) returns text language plpgsql as
        $$begin raise notice 'to be read'; perform pg_catalog.pg_notify('heard', ''); return $1; end$$
    """)
    at_commit(admin, "raise notice 'to be read'; if new.text = 'refused' then raise 'at commit'; end if")
    sizes: list[int] = []
    receive = Pipeline.data_received

    def receive_pieces(pipeline: Pipeline, data: bytes) -> None:
        at = 0
        for size in cycle(sizes):
            if at >= len(data):
                break
            receive(pipeline, data[at : at + size])
            at += size

    async def transactions(connection: Connection) -> None:
        series = await at_once(connection, "select string_agg(n::text, '') from generate_series(1, $1) as n", 999)
        assert series == "".join(map(str, range(1, 1000)))
        assert await at_once(connection, ADD, "x") == "x"
        assert await at_once(connection, "select public.notice($1)", "y") == "y"
        with pytest.raises(asyncpg.RaiseError, match="at commit"):
            await at_once(connection, ADD, "refused")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await at_once(connection, "select 1/0")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await at_once(connection, WHO, begin="begin; select 1/0")
        assert await at_once(connection, WHO) == "alice"
        rows = await connection.fetch("select * from generate_series(1, 50)")
        assert len(rows) == 50

    with asyncio.Runner() as runner:
        connection = runner.run(opened(url("app_api")))
        runner.run(connection.add_listener("heard", lambda *_: None))
        monkeypatch.setattr(Pipeline, "data_received", receive_pieces)

        def see(new_sizes: list[int]) -> None:
            sizes[:] = new_sizes
            runner.run(transactions(connection))

        yield see
        monkeypatch.undo()
        runner.run(connection.close())


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(sizes=st.lists(st.integers(1, 120), min_size=1, max_size=10))
def test_messages_may_be_split_anywhere(in_pieces: Callable[[list[int]], None], sizes: list[int]) -> None:
    in_pieces(sizes)


def test_messages_may_come_byte_by_byte(in_pieces: Callable[[list[int]], None]) -> None:
    in_pieces([1])


async def test_large_answers_come_whole(connection: Connection) -> None:
    for _ in range(2):
        assert await at_once(connection, "select repeat('x', 5000000)") == "x" * 5_000_000
        rows = "select string_agg(md5(n::text), '') from generate_series(1, 30000) as n group by n % 3000"
        assert connection.pipeline
        connection.pipeline.start(query(BEGIN), commits=False)
        assert {len(text) for (text,) in await connection.fetch(rows)} == {320}
        assert connection.pipeline.stop()
        await connection.execute("commit")


@pytest.mark.parametrize("size", [1, 4, 6, 20])
async def test_a_message_that_comes_unasked_may_be_split_where_a_transaction_begins(
    connection: Connection, size: int
) -> None:
    notice = b"N\0\0\0\x28SNOTICE\0VNOTICE\0C00000\0Mto be read\0\0"
    heard: list[str] = []
    connection.add_log_listener(lambda _, message: heard.append(message.message))
    for _ in range(2):
        await at_once(connection, WHO)
        assert connection.pipeline
        connection.pipeline.data_received(notice[:size])
        who = asyncio.create_task(at_once(connection, WHO))
        await asyncio.sleep(0)  # it is sent
        assert connection.awaits_begin()
        connection.pipeline.data_received(notice[size:])
        assert await asyncio.wait_for(who, 10) == "alice"
    assert heard == ["to be read"] * 2


async def test_what_comes_unasked_reaches_the_listener(connection: Connection) -> None:
    heard: list[str] = []
    await connection.add_listener("news", lambda *arguments: heard.append(arguments[-1]))
    for number in range(2):
        await at_once(connection, "select pg_catalog.pg_notify('news', $1)", str(number))
    await at_once(connection, WHO)
    assert heard == ["0", "1"]


# ---- when the connection is lost -----------------------------------------------------------------------


@pytest.mark.parametrize("writes", [False, True])
async def test_a_connection_that_breaks_amid_the_answers_is_no_success_and_nothing_is_saved_twice(
    url: Url,
    admin: psycopg.Connection,
    writes: bool,  # noqa: FBT001 - a test parameter
) -> None:
    statement, arguments = (ADD, ["x"]) if writes else (WHO, [])
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            session = Session(pool, "alice", read_only=not writes)
            results: list[object] = []
            for length in range(0, 400, 9):
                await session.fetchval(statement, *arguments)  # on a connection that was not opened just now
                admin.execute("delete from app.tasks")
                admin.commit()
                wire.cut_after(length)
                with suppress(DatabaseUnavailableError):
                    results.append(await session.fetchval(statement, *arguments))
                wire.cut_after(None)
                assert texts(admin) in ([[], ["x"]] if writes else [[]])
    assert set(results) == {"x" if writes else "alice"}  # the longest are whole
    assert len(results) < 45


async def test_the_server_ends_a_session_amid_a_statement(url: Url, admin: psycopg.Connection) -> None:
    async with Pool(url("app_api"), size=1) as pool:
        session = Session(pool, "alice", read_only=True)
        for _ in range(2):
            sleeping = asyncio.create_task(session.fetchval("select pg_sleep(5)"))
            await found(admin, "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(5)'")
            with pytest.raises(DatabaseUnavailableError):
                await sleeping
            assert await session.fetchval(WHO) == "alice"


async def test_the_end_of_a_session_in_place_of_its_begin_fails_no_write_and_saves_it_once(
    url: Url, admin: psycopg.Connection
) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            session = Session(pool, "alice", read_only=False)
            await session.fetchval(ADD, "x")
            connection = await next_of(pool)
            wire.freeze()
            admin.execute("select pg_terminate_backend(%s, 5000)", [connection.get_server_pid()])
            adding = asyncio.create_task(session.fetchval(ADD, "y"))
            await asyncio.sleep(0.1)
            wire.thaw()
            assert await adding == "y"
    admin.commit()
    assert texts(admin) == ["x", "y"]


async def test_a_connection_whose_response_is_to_come_is_not_used_again_whatever_is_said(url: Url) -> None:
    async with Pool(url("app_api"), size=1) as pool:
        connection = await next_of(pool)
        sleeping = asyncio.create_task(at_once(connection, "select 1 from pg_sleep(0.3)"))
        assert await sleeping == 1
        connection = await pool.acquire("alice")
        sleeping = asyncio.create_task(at_once(connection, "select 1 from pg_sleep(0.3)"))
        await asyncio.sleep(0.1)
        pool.release(connection, clean=True)
        assert connection.is_closed()
        await asyncio.gather(sleeping, return_exceptions=True)
        assert await next_of(pool) is not connection


async def test_a_write_on_a_connection_that_was_idle_for_long_begins_first_and_is_not_lost_with_it(
    url: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.USED_LATELY", 0)
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            session = Session(pool, "alice", read_only=False)
            await session.fetchval(ADD, "x")
            wire.cut_after(0)  # with what it says next, as a firewall does
            adding = asyncio.create_task(session.fetchval(ADD, "y"))
            await asyncio.sleep(0.1)
            wire.cut_after(None)
            assert await adding == "y"


async def test_a_caller_who_is_cancelled_at_any_moment_leaves_a_whole_transaction_or_none(
    url: Url, admin: psycopg.Connection
) -> None:
    async with Pool(url("app_api"), size=3) as pool:
        check_in(pool, await check_out(pool, 3))

        async def add(user: str) -> None:
            assert await Session(pool, user, read_only=False).fetchval(ADD, user) == user

        for number in range(150):
            adding = asyncio.create_task(add(f"user{number}"))
            await asyncio.sleep(number / 75_000)
            adding.cancel()
            await asyncio.gather(adding, return_exceptions=True)
            assert await Session(pool, "alice", read_only=True).fetchval(WHO) == "alice"
    assert len(set(texts(admin))) == len(texts(admin))
    assert not admin.execute("select from app.tasks where text <> user_id").fetchall()


async def test_asyncpg_finds_the_task_that_cancels_a_statement_and_forgets_it() -> None:
    assert asyncio.current_task(cast("asyncio.AbstractEventLoop", Loop())) is asyncio.current_task()


# ---- TLS -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direct", [False, True])
async def test_transactions_are_sent_at_once_over_tls_too(
    url: Url,
    tmp_path: Path,
    direct: bool,  # noqa: FBT001 - a test parameter
) -> None:
    certify("localhost").write(tmp_path / "crt", tmp_path / "key")
    with closing(Wire(url("app_api"))) as wire:
        wire.encrypt(tmp_path / "crt", tmp_path / "key", direct=direct)
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            connection = await next_of(pool)
            assert connection.pipeline
            assert connection.pipeline.get_extra_info("ssl_object")
            session = Session(pool, "alice", read_only=False)
            large = "select repeat('x', 1000000)"
            assert await session.fetchval(large) == "x" * 1_000_000
            before = wire.round_trips
            assert await session.fetchval(large) == "x" * 1_000_000
            assert wire.round_trips - before == 1


# ---- where it does not work ----------------------------------------------------------------------------


class NoLoop:
    """A version of asyncpg that does not care for the loop it is given."""

    pipeline = None

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)


def ignore_the_loop(monkeypatch: pytest.MonkeyPatch, _wire: Wire) -> None:
    monkeypatch.setattr("db.libpq.driver.Loop", NoLoop)


def send_in_several_writes(monkeypatch: pytest.MonkeyPatch, _wire: Wire) -> None:
    """Let the Sync that ends a statement be another write."""
    write = Pipeline.write

    def write_sync_apart(pipeline: Pipeline, data: bytes | memoryview) -> None:
        if len(data) > 5 and data[-5:] == b"S\0\0\0\4":
            write(pipeline, bytes(data[:-5]))
            write(pipeline, bytes(data[-5:]))
        else:
            write(pipeline, data)

    monkeypatch.setattr(Pipeline, "write", write_sync_apart)


def refuse_several_messages(_monkeypatch: pytest.MonkeyPatch, wire: Wire) -> None:
    wire.refuse_several()


@pytest.mark.parametrize("obstacle", [ignore_the_loop, send_in_several_writes, refuse_several_messages])
async def test_where_it_does_not_work_transactions_go_step_by_step_and_the_log_says_so_once(
    url: Url,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    obstacle: Callable[[pytest.MonkeyPatch, Wire], None],
) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        obstacle(monkeypatch, wire)
        async with Pool(wire.url, size=3) as pool:
            connections = await check_out(pool, 3)
            check_in(pool, connections)
            assert not any(connection.pipeline for connection in connections)
            session = Session(pool, "alice", read_only=False)
            assert await session.fetchval(ADD, "x") == "x"
            with pytest.raises(asyncpg.CheckViolationError):
                await session.fetchval(ADD, "")
            before = wire.round_trips
            assert await session.fetchval(ADD, "y") == "y"
            assert wire.round_trips - before >= 3
    assert [message for message in caplog.messages if "at once" in message] == [
        "a transaction cannot be sent at once: it takes three round trips"
    ]


async def test_a_connection_that_is_lost_while_it_is_tried_says_nothing_of_the_next_one(
    url: Url, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1) as pool:
            for length in range(400, 1000, 50):
                wire.cut_after(length)
                with suppress(DatabaseUnavailableError):
                    connection = await next_of(pool)
                    assert connection.pipeline
                    connection.terminate()
                wire.cut_after(None)
    assert not [message for message in caplog.messages if "at once" in message]


async def test_who_gives_up_while_a_connection_is_tried_leaves_none_open(
    url: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Connection] = []
    with closing(Wire(url("app_api"))) as wire:
        wire.open()

        async def hangs(connection: Connection) -> bool:
            tried.append(connection)
            wire.freeze()
            return await works(connection)

        monkeypatch.setattr("db.connect.works", hangs)
        with pytest.raises(DatabaseUnavailableError):
            await connect(wire.url, application_name="partywall", pipelining=True, seconds=0.5)
        assert [connection.is_closed() for connection in tried] == [True]


async def test_without_prepared_statements_begin_is_sent_with_the_first_message(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        async with Pool(wire.url, size=1, statement_cache_size=0) as pool:
            session = Session(pool, "alice", read_only=False)
            assert await session.fetchval(ADD, "x") == "x"
            before = wire.round_trips
            assert await session.fetchval(ADD, "y") == "y"
            assert wire.round_trips - before == 3


async def test_a_statement_whose_types_the_driver_has_to_look_up_runs_as_the_caller(
    url: Url, admin: psycopg.Connection
) -> None:
    admin.execute("grant execute on function pg_catalog.set_config(text, text, boolean) to app_api")  # for asyncpg
    admin.commit()
    array = "select array_agg(to_json(t)) from app.tasks as t"
    async with Pool(url("app_api"), size=1) as pool:
        session = Session(pool, "alice", read_only=False)
        await session.fetchval(ADD, "x")
        for _ in range(3):
            assert len(await session.fetchval(array)) == 1
