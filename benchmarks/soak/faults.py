"""The faults: each is injected, lasts for a while, and is over when what was broken is there again."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.soak.client import Client
from benchmarks.soak.servers import WORKERS, Site
from benchmarks.soak.tally import SERVES_WITHIN, Fault, Tally
from benchmarks.stage import ROOT, BenchmarkError

CALM = 2 * SERVES_WITHIN  # seconds between two faults: in the second half every request succeeds
LASTS = 5.0  # seconds
ABANDONED = 0.1  # the part of the requests that clients give up
SLOW = 0.05  # seconds that a round trip to PostgreSQL takes longer
MIGRATION_TRIES = 20  # a migration gives up when it does not get its lock, and a pipeline runs it again

TERMINATE = """
select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app_api' and random() < 0.5
"""
CANCEL = "select pg_cancel_backend(pid) from pg_stat_activity where usename = 'app_api' and state = 'active'"
PICK = "select pid from pg_stat_activity where usename = 'app_api' limit 1"
LOCK = "select from app.tasks for update"
# What a release may do while the one before it runs: nullable columns, which every statement with returning * shows.
UPGRADE = """
    for table in ("app.tasks", "app.workspace_tasks"):
        op.execute(f"alter table {table} add soaked text")
        op.execute(f"comment on column {table}.soaked is 'Nothing: added and dropped while requests are served.'")
"""
DOWNGRADE = """
    for table in ("app.tasks", "app.workspace_tasks"):
        op.execute(f"alter table {table} drop soaked")
"""


class Faults:
    """Injects faults into a site, one after the other."""

    def __init__(self, site: Site, client: Client, tally: Tally, release: Path | None) -> None:
        """Inject them into `site`. `release` is a directory with the migrations of the next release."""
        self._site = site
        self._client = client
        self._tally = tally
        self._release = release
        self._is_upgraded = False

    async def inject(self, kind: str) -> None:
        """Inject one of KINDS, and return when it is over. Raises BenchmarkError."""
        fault = Fault(kind, time.monotonic())
        self._tally.faults.append(fault)
        try:
            await KINDS[kind](self)
        finally:
            fault.over = time.monotonic()

    async def restart_database(self) -> None:
        """Shut PostgreSQL down, as for an update, and start it."""
        await asyncio.to_thread(self._site.cluster.stop)
        await asyncio.to_thread(self._site.start_database)

    async def crash_backend(self) -> None:
        """Kill one process of PostgreSQL, which ends all others and recovers from its log."""
        if found := await self._administer(PICK):
            os.kill(found[0][0], signal.SIGKILL)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(self._site.wait_for_database)

    async def crash_database(self) -> None:
        """Kill PostgreSQL without a shutdown, and start it, so that it recovers from its log."""
        os.kill(self._site.postmaster, signal.SIGKILL)
        await asyncio.to_thread(self._site.start_database)

    async def kill_backends(self) -> None:
        """End half of the sessions, ten times, as an administrator can."""
        for _ in range(10):
            await self._administer(TERMINATE)
            await asyncio.sleep(LASTS / 10)

    async def cancel_queries(self) -> None:
        """Cancel whatever runs, a hundred times, as an administrator can."""
        for _ in range(100):
            await self._administer(CANCEL)
            await asyncio.sleep(LASTS / 100)

    async def abandon_requests(self) -> None:
        """Have clients close their connections before they have a response."""
        self._client.abandons = ABANDONED
        await asyncio.sleep(LASTS)
        self._client.abandons = 0.0

    async def migrate(self) -> None:
        """Migrate to the next release; the next time, back to this one."""
        if self._release is None:
            raise BenchmarkError("there is no next release to migrate to")
        if self._is_upgraded:
            await asyncio.to_thread(self._alembic, self._release, "downgrade", "-1")
        tree = ROOT if self._is_upgraded else self._release
        await asyncio.to_thread(self._alembic, tree, "upgrade", "head")
        self._is_upgraded = not self._is_upgraded

    async def kill_worker(self) -> None:
        """Kill a worker, so that uvicorn starts another one."""
        starts = self._site.log.starts
        os.kill(self._site.workers[0], signal.SIGKILL)
        await asyncio.to_thread(self._site.wait_for_starts, starts + 1)

    async def restart_workers(self) -> None:
        """Replace one worker after the other, by `kill -HUP`."""
        starts, before = self._site.log.starts, {*self._site.workers}
        self._site.api.send_signal(signal.SIGHUP)
        await asyncio.to_thread(self._site.wait_for_starts, starts + WORKERS)
        while before & {*self._site.workers}:  # noqa: ASYNC110 - another process says so
            await asyncio.sleep(0.1)

    async def slow_network(self) -> None:
        """Make each round trip to PostgreSQL take longer."""
        self._site.network.set_delay(SLOW)
        await asyncio.sleep(LASTS)
        self._site.network.set_delay(0.0)

    async def cut_network(self) -> None:
        """Let nothing through to PostgreSQL, then break the connections."""
        self._site.network.hang()
        await asyncio.sleep(LASTS)
        self._site.network.cut()

    async def fill_pool(self) -> None:
        """Hold locks on all tasks of users, so that every connection waits for one."""
        outside = await psycopg.AsyncConnection.connect(self._site.cluster.url("postgres"))
        async with outside:
            await outside.execute(LOCK)
            await asyncio.sleep(LASTS)

    async def _administer(self, statement: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._site.administer, statement)

    def _alembic(self, tree: Path, *command: str) -> None:
        """Run Alembic as a pipeline does: again, if it did not get a lock. Raises BenchmarkError."""
        for _ in range(MIGRATION_TRIES):
            result = _run(tree, "alembic", *command, MIGRATION_DATABASE_URL=self._site.cluster.url("app_migrator"))
            if result.returncode == 0:
                return
        raise BenchmarkError(f"the migration failed:\n{result.stdout}{result.stderr}")


KINDS: dict[str, Callable[[Faults], Awaitable[None]]] = {
    "database restarted": Faults.restart_database,
    "database process killed": Faults.crash_backend,
    "database crashed": Faults.crash_database,
    "sessions ended": Faults.kill_backends,
    "queries cancelled": Faults.cancel_queries,
    "requests abandoned": Faults.abandon_requests,
    "migration": Faults.migrate,
    "worker killed": Faults.kill_worker,
    "workers restarted": Faults.restart_workers,
    "network slow": Faults.slow_network,
    "network cut": Faults.cut_network,
    "pool full": Faults.fill_pool,
}


def schedule(chance: random.Random, kinds: Sequence[str]) -> Iterator[str]:
    """Yield the kinds in a random order, then in another one, without end."""
    while True:
        yield from chance.sample(kinds, len(kinds))


def next_release(directory: Path) -> Path:
    """Make a release with one more migration, as a developer would, and return where it is. Raises BenchmarkError."""
    tree = directory / "release"
    for part in ("db", "migrations"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", tree)
    made = _run(tree, "alembic", "revision", "--message", "soak")
    if made.returncode:
        raise BenchmarkError(f"there is no next release:\n{made.stdout}{made.stderr}")
    [file] = (tree / "migrations/versions").glob("*_soak.py")
    upgrade, downgrade = (f"() -> None:\n{body}" for body in (UPGRADE, DOWNGRADE))
    head, _, _ = file.read_text().partition("def upgrade")
    file.write_text(f"{head}def upgrade{upgrade}\n\ndef downgrade{downgrade}")
    # Its exit code says that db/schema.py has not the columns, which nothing here compares.
    _run(tree, "migrations.dump", "db/schema.sql")
    return tree


def _run(tree: Path, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tree,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
