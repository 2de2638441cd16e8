"""One run: the traffic, the faults, what is measured meanwhile, and the comparison at the end."""

import asyncio
import random
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import jwt
import psycopg

from benchmarks.soak.client import Caller, Client
from benchmarks.soak.compare import ROWS, compare
from benchmarks.soak.faults import CALM, Faults, schedule
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.people import Person, World
from benchmarks.soak.report import check_resources, results
from benchmarks.soak.servers import Site
from benchmarks.soak.tally import Tally
from benchmarks.soak.teams import Team

PEOPLE, TEAMS = 48, 16  # each sends one request after the other, some two at the same time
WARM_UP = 30.0  # seconds of a process's life until its memory is measured for the first time
SAMPLE_INTERVAL = 5.0  # seconds


@dataclass
class Options:
    """How long, with which seed and faults. It ends after `seconds`, or when `requests` were sent if that is given."""

    seed: int
    seconds: float
    requests: int
    kinds: list[str]
    calm: float = CALM


@dataclass
class Samples:
    """The memory of each process from its warm-up to its end, in MiB, and the number of connections."""

    memory: dict[str, list[float]] = field(default_factory=dict)
    connections: list[int] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)  # all of its processes
    since: dict[str, float] = field(default_factory=dict)  # when each process was seen first

    def take(self, site: Site) -> None:
        """Measure now. Raises psycopg.Error, OSError, IndexError or ValueError while PostgreSQL stops or starts."""
        self.connections.append(site.connections())
        processes = site.postgres_memory()
        self.postgres.append(sum(processes))
        self._note(f"PostgreSQL {site.postmaster}, per process", sum(processes) / len(processes))
        for pid, mib in site.worker_memory().items():
            self._note(f"worker {pid}", mib)

    def resources(self) -> dict[str, float | str]:
        """Return what was measured, first and last."""
        workers = [mib for name, lives in self.memory.items() if name.startswith("worker") for mib in lives]
        return {
            "MiB of a worker, least and most": " to ".join(
                f"{each:.0f}" for each in sorted(workers)[:: max(1, len(workers) - 1)]
            ),
            "MiB of PostgreSQL, first and last": " to ".join(
                f"{each:.0f}" for each in (self.postgres[:1] + self.postgres[-1:])
            ),
            "connections at first": self.connections[0] if self.connections else 0,
            "connections at most": max(self.connections, default=0),
        }

    def _note(self, process: str, mib: float) -> None:
        now = time.monotonic()
        if now - self.since.setdefault(process, now) >= WARM_UP:
            self.memory.setdefault(process, []).append(mib)


class Run:
    """Everything that is going on."""

    def __init__(self, site: Site, options: Options, release: Path | None) -> None:
        """Run against `site`."""
        chance = random.Random(options.seed)
        self._site = site
        self._options = options
        self._tally = Tally()
        self._ledger = Ledger(self._tally)
        self._client = Client(site.port, self._tally, chance)
        self._world = World(self._client, self._ledger, chance, self._caller)
        self._faults = Faults(site, self._client, self._tally, release)
        self._kinds = schedule(random.Random(options.seed), options.kinds)
        self._samples = Samples()
        self._stop = asyncio.Event()

    async def run(self) -> dict[str, Any]:
        """Return the figures. Ctrl-C ends it early."""
        self._stop_at_signals()
        actors: list[Person | Team] = [Person(self._world, number) for number in range(PEOPLE)]
        actors += [Team(self._world, number) for number in range(TEAMS)]
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch())
            living = [group.create_task(actor.live()) for actor in actors]
            await self._inject()
            self._world.is_over = True
            await asyncio.gather(*living)
            watch.cancel()
        return await asyncio.to_thread(self._finish)

    def _stop_at_signals(self) -> None:
        """End early at the first Ctrl-C, and at once at the second."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            self._stop.set()
            loop.remove_signal_handler(signal.SIGINT)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)

    def _caller(self, user: str, *tenants: str) -> Caller:
        claims = {"sub": user, "exp": int(time.time()) + 86400}
        return Caller(user, jwt.encode(claims, self._site.secret, algorithm="HS256"), frozenset(tenants))

    async def _inject(self) -> None:
        """Inject faults, with calm before and after each of them, until it is time to end."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._options.calm)
            if self._stop.is_set() or self._is_time():
                return
            await self._faults.inject(next(self._kinds))

    def _is_time(self) -> bool:
        if self._options.requests:
            return self._tally.requests >= self._options.requests
        return time.monotonic() - self._tally.started >= self._options.seconds

    async def _watch(self) -> None:
        """Measure, and show how far it is."""
        while True:
            with suppress(psycopg.Error, OSError, IndexError, ValueError):
                await asyncio.to_thread(self._samples.take, self._site)
            for _ in range(int(SAMPLE_INTERVAL)):
                if sys.stdout.isatty():
                    click.echo("\r\x1b[K" + self._progress(), nl=False)
                await asyncio.sleep(1)
            if not sys.stdout.isatty():
                click.echo(self._progress())

    def _progress(self) -> str:
        tally = self._tally
        seconds = int(time.monotonic() - tally.started)
        classes = {f"{name}xx": tally.of_class(name) for name in (2, 3, 4, 5)}
        fault = tally.faults[-1] if tally.faults else None
        return (
            f"{seconds // 60:3}:{seconds % 60:02}  {tally.requests:,} requests  "
            + "  ".join(f"{name} {count:,}" for name, count in classes.items())
            + f"  none {tally.statuses[0]:,}  violations {tally.broken.total()}"
            + f"  {fault.kind if fault and not fault.over else 'calm'}"
        )

    def _finish(self) -> dict[str, Any]:
        """Compare the rows, and return the figures."""
        self._client.close()
        connections = self._site.connections()
        rows = compare(self._ledger, self._site.administer(ROWS))
        check_resources(self._tally, self._samples.memory, connections)
        return results(
            self._tally,
            rows,
            self._samples.resources() | {"connections at the end": connections, "worker starts": self._site.log.starts},
            seed=self._options.seed,
            minutes=round((time.monotonic() - self._tally.started) / 60, 1),
            created=self._ledger.created,
        )
