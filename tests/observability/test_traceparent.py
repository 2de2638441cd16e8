"""Whoever traces a request finds it in the log, and in what PostgreSQL says of its sessions."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import asyncpg
import httpx2
import psycopg
import pytest

from api.health.availability import Availability
from api.observability.traceparent import read_trace_id
from db.connect import connect
from db.pool import Pool
from db.replica import Target
from db.session import Session, Transaction, begin_statement
from tests.support.database import Url
from tests.support.servers import AccessLog
from tests.support.tasks import add
from tests.support.waiting import held, wait_for

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{PARENT}-01"

# https://www.w3.org/TR/trace-context/#traceparent-header and #versioning-of-traceparent
ACCEPTED = {
    "sampled": VALID,
    "not sampled": f"00-{TRACE}-{PARENT}-00",
    "flags that are not known": f"00-{TRACE}-{PARENT}-ff",
    "a later version": f"01-{TRACE}-{PARENT}-01",
    "a later version with more": f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like",
    "a later version with nothing more": f"cc-{TRACE}-{PARENT}-01-",
}
REFUSED = {
    "nothing": "",
    "the invalid version": f"ff-{TRACE}-{PARENT}-01",
    "no version": f"{TRACE}-{PARENT}-01",
    "version 00 with more": f"{VALID}-more",
    "version 00 with a dash": f"{VALID}-",
    "a later version with more without a dash": f"cc-{TRACE}-{PARENT}-01.more",
    "a trace id of zeros": f"00-{'0' * 32}-{PARENT}-01",
    "a parent id of zeros": f"00-{TRACE}-{'0' * 16}-01",
    "capital letters": VALID.upper(),
    "one capital letter": f"00-{TRACE[:-1]}F-{PARENT}-01",
    "a version in capital letters": f"0A-{TRACE}-{PARENT}-01",
    "a trace id that is too short": f"00-{TRACE[1:]}-{PARENT}-01",
    "a trace id that is too long": f"00-{TRACE}0-{PARENT}-01",
    "no flags": f"00-{TRACE}-{PARENT}",
    "flags that are too short": f"00-{TRACE}-{PARENT}-1",
    "underscores": VALID.replace("-", "_"),
    "space in front": f" {VALID}",
    "space behind": f"{VALID} ",
    "two of them": f"{VALID},{VALID}",
    "an end of line": f"{VALID}\n",
    "digits of another script": f"00-{'٤' * 32}-{PARENT}-01",
    "a quote": f"00-{TRACE[:-1]}'-{PARENT}-01",
    "SQL": f"00-{TRACE}'; set local app.user_id = 'bob' --{PARENT}-01",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_header_that_is_valid_names_the_trace(name: str) -> None:
    assert read_trace_id(ACCEPTED[name].encode()) == TRACE


@pytest.mark.parametrize("name", REFUSED)
def test_a_header_that_is_not_valid_is_ignored(name: str) -> None:
    assert read_trace_id(REFUSED[name].encode()) is None


def test_the_line_of_a_request_has_the_trace_that_it_says_once(alice: httpx2.Client, access_log: AccessLog) -> None:
    access_log()
    alice.get("/tasks", headers={"traceparent": VALID})
    alice.get("/tasks", headers={"TraceParent": VALID})
    alice.get("/tasks", headers={"traceparent": VALID.upper()})
    alice.get("/tasks", headers=[("traceparent", VALID), ("traceparent", VALID)])
    alice.get("/tasks")
    alice.get("/health/live", headers={"traceparent": VALID, "Authorization": ""})
    alice.get("/health/live")

    assert [line.get("trace_id") for line in access_log()[:6]] == [TRACE, TRACE, None, None, None, TRACE]


# ---- where a DBA finds it ----------------------------------------------------------------------------

NAMES = """
select application_name from pg_stat_activity
where usename = 'app_api' and datname = current_database() and application_name <> 'partywall health'
"""
NAME = "select current_setting('application_name')"


def names(admin: psycopg.Connection) -> set[str]:
    admin.execute("select pg_stat_clear_snapshot()")
    return {name for (name,) in admin.execute(NAMES)}


@pytest.mark.usefixtures("way")
def test_a_session_has_the_name_of_the_trace_until_its_transaction_ends(
    alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    path = f"/tasks/{add(alice)['id']}"
    for headers, name in (
        ({"traceparent": VALID}, f"partywall {TRACE}"),
        ({}, "partywall"),
        ({"traceparent": REFUSED["SQL"]}, "partywall"),
        ({"traceparent": VALID}, f"partywall {TRACE}"),
    ):
        with ThreadPoolExecutor(1) as thread, held(admin, "select from app.tasks for update"):
            response = thread.submit(alice.patch, path, json={"text": "Buy bread"}, headers=headers)
            wait_for(admin, 1)
            assert names(admin) == {name}
            admin.commit()
        assert response.result().status_code == 200
        assert names(admin) == {"partywall"}


async def named(session: Session) -> tuple[str, str]:
    """Return the name in a transaction of one statement, and in one of several."""

    async def work(transaction: Transaction) -> str:
        await transaction.fetchval(NAME)
        name: str = await transaction.fetchval(NAME)
        return name

    return await session.fetchval(NAME), await session.run(work)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("on_replica", [False, True])
def test_no_transaction_has_the_name_of_another_ones_trace(url: Url, *, on_replica: bool) -> None:
    async def ask() -> list[tuple[str, str]]:
        async with Pool(url("app_api"), size=1) as pool:
            replica = Target(pool, 0, lambda: None) if on_replica else None
            found = []
            for trace_id in (None, TRACE, None):
                session = Session(pool, "alice", read_only=True, replica=replica, trace_id=trace_id)
                found.append(await named(session))
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await session.fetchval("select 1 / 0")
            return found

    traced = f"partywall {TRACE}"
    assert asyncio.run(ask()) == [("partywall", "partywall"), (traced, traced), ("partywall", "partywall")]


@pytest.mark.parametrize("trace_id", [TRACE.upper(), TRACE[1:], f"{TRACE}\n", f"{TRACE[:-1]}'", "x"])
def test_nothing_but_a_trace_id_gets_into_the_name(trace_id: str) -> None:
    with pytest.raises(ValueError, match="not a trace id"):
        begin_statement("alice", read_only=True, trace_id=trace_id)


def test_a_name_is_given_where_it_is_no_entry_of_pg_stat_statements_and_does_not_confuse_citus(
    url: Url, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def shows_traces() -> bool:
        connecting = partial(connect, url("app_api"), application_name="partywall health")
        async with Pool(url("app_api"), size=1) as pool, Availability(connecting, pool, tolerance=3) as database:
            await database.first_check()
            return database.shows_traces

    version = admin.info.server_version // 10_000
    assert asyncio.run(shows_traces()) == (version >= 18)
    monkeypatch.setattr("api.health.availability.SHOWS_TRACES_SINCE", version)
    assert asyncio.run(shows_traces())
    monkeypatch.setattr("api.health.availability.SHOWS_TRACES_SINCE", version + 1)
    assert not asyncio.run(shows_traces())

    admin.execute("set allow_system_table_mods = on; create table pg_catalog.pg_dist_local_group (groupid int)")
    admin.commit()
    monkeypatch.setattr("api.health.availability.SHOWS_TRACES_SINCE", version)
    assert not asyncio.run(shows_traces())
