"""A question that is asked again and again, and the connection that it is asked on."""

import asyncio
from functools import partial

import asyncpg

from api.health.watch import Watch
from db.connect import DatabaseUnavailableError, connect
from db.pool import Pool
from tests.support.database import Url


def test_a_connection_that_ends_during_a_question_is_replaced_and_the_question_repeated(url: Url) -> None:
    watches: list[Watch] = []
    asked: list[int] = []
    failures: list[DatabaseUnavailableError] = []

    async def ask(connection: asyncpg.Connection) -> None:
        asked.append(await connection.fetchval("select pg_backend_pid()"))
        if len(asked) == 2:
            asyncio.get_running_loop().call_later(0.1, watches[0].reconnect)
            await connection.execute("select pg_sleep(10)")

    async def run() -> None:
        address = url("app_api")
        async with Pool(address, size=1) as pool:
            connecting = partial(connect, address, application_name="partywall health")
            watch = Watch(connecting, pool, ask, interval=lambda: 60, timeout=5, on_failure=failures.append)
            watches.append(watch)
            async with watch:
                await watch.ask_now(5)
                await watch.ask_now(5)

    asyncio.run(run())
    first, second, third = asked
    assert first == second != third
    assert failures == []
