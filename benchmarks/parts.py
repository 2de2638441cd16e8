"""The parts of results.json, but for growth: `benchmarks/growth.py`."""

import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import click
import httpx2
import psycopg

from benchmarks.calls import call
from benchmarks.check import check
from benchmarks.load import READS, SCENARIOS
from benchmarks.measure import Part, Runs, Size, in_turns, run_pgbench, run_wrk
from benchmarks.proxy import Proxy, proxy
from benchmarks.servers import (
    CEILING,
    NAIVE_RLS,
    NO_RLS,
    PARTYWALL,
    SQLMODEL,
    THREE_TRIPS,
    Contender,
    Server,
    serving,
)
from benchmarks.stage import Stage

DATABASE = "bench"
DELAY = 0.0009  # seconds: with what the proxy itself takes, 1 ms there and back
COUNTING_DELAY = 0.005  # longer than an app takes to send what it sends without waiting

# In all scenarios, and with as many workers as there are cores. What is compared most closely is adjacent, because it
# then runs right after each other.
EVERYWHERE = (PARTYWALL, NO_RLS, NAIVE_RLS, SQLMODEL, CEILING)
# The other contenders, with one process.
COMPARED = ("list_50", "read_one", "create")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def throughput(stage: Stage, size: Size, peers: Sequence[Contender]) -> Part:
    """Measure each contender with one worker; some in more scenarios, and with as many workers as there are cores."""
    stage.make_database(DATABASE, size.rows)
    result = {}
    with all_serving(stage, (PARTYWALL, THREE_TRIPS, NO_RLS, *peers, NAIVE_RLS, SQLMODEL, CEILING)) as servers:
        check(stage, servers, size.rows)
        stage.tidy(DATABASE)
        runs = {**_runs(stage, servers, size), "pgbench": run_pgbench(stage, DATABASE, size.rows)}
        few = {name: runs[name] for name in (*(each.name for each in EVERYWHERE), "pgbench")}
        result["1"] = in_turns(
            stage.processes,
            "1 worker",
            {scenario: runs if scenario in COMPARED else few for scenario in SCENARIOS},
            size,
        )
    if cores() > 1:
        with all_serving(stage, EVERYWHERE, workers=cores()) as servers:
            many = dict.fromkeys(READS, _runs(stage, servers, size))
            result[str(cores())] = in_turns(stage.processes, f"{cores()} workers", many, size)
    return result


def latency(stage: Stage, size: Size, peers: Sequence[Contender]) -> Part:
    """Measure reads while the database is a millisecond away: requests per second, and how long each takes."""
    stage.make_database(DATABASE, size.rows)
    contenders = (PARTYWALL, THREE_TRIPS, *peers, NAIVE_RLS, SQLMODEL)
    with networks(stage, contenders, delay=DELAY) as network, all_serving(stage, contenders, network) as servers:
        return {
            "round_trip_ms": _ping(network[PARTYWALL.name].url(PARTYWALL.role, DATABASE)),
            "scenarios": in_turns(
                stage.processes, "database 1 ms away", dict.fromkeys(READS, _runs(stage, servers, size)), size
            ),
        }


def memory(stage: Stage, size: Size, _peers: Sequence[Contender]) -> Part:
    """Measure the memory of one of Partywall's workers during many requests."""
    stage.make_database(DATABASE, size.rows)
    with all_serving(stage, [PARTYWALL]) as [server]:
        run = run_wrk(stage, server, DATABASE, size.rows)
        run("mixed", size.seconds)
        samples = [(0, round(server.memory(), 1))]
        while samples[-1][0] < size.requests:
            requests = samples[-1][0] + run("mixed", size.seconds).requests
            samples.append((requests, round(server.memory(), 1)))
            click.echo(f"memory: {samples[-1][1]} MiB after {requests:,} requests")
    return {"scenario": "mixed", "mib_after_requests": samples}


def round_trips(stage: Stage, size: Size, peers: Sequence[Contender]) -> Part:
    """Count how often a request waits for PostgreSQL, on the wire."""
    stage.make_database(DATABASE, size.rows)
    contenders = (PARTYWALL, THREE_TRIPS, NO_RLS, *peers, NAIVE_RLS, SQLMODEL)
    with networks(stage, contenders, COUNTING_DELAY) as network, all_serving(stage, contenders, network) as servers:
        return {each.contender.name: _counts(stage, each, network[each.contender.name], size) for each in servers}


def _counts(stage: Stage, server: Server, network: Proxy, size: Size) -> dict[str, int]:
    """Return the round trips of one request of each scenario.

    The median of several: the first one prepares its statements, and the readiness check has queries of its own.
    """
    user, task, text = "bench-0", size.rows.task_id(0, 0), "Call the plumber about the leak"
    bodies: dict[str, dict[str, object]] = {"create": {"text": text, "order": 0}, "patch": {"text": text}}
    result = {}
    with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {stage.token(0)}"}) as client:
        for scenario in ("list_50", "read_one", "create", "patch"):
            counts = []
            for _ in range(15):
                before = network.round_trips
                call(client, server, scenario, user, task, **bodies.get(scenario, {})).raise_for_status()
                counts.append(network.round_trips - before)
            result[scenario] = int(statistics.median(counts))
    return result


def _ping(url: str) -> float:
    """Return the median time of a round trip to the database, in milliseconds."""
    times = []
    with psycopg.connect(url, sslmode="disable", autocommit=True) as connection:
        for _ in range(200):
            started = time.perf_counter()
            connection.execute("select")
            times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 3)


def _runs(stage: Stage, servers: Sequence[Server], size: Size) -> Runs:
    return {server.contender.name: run_wrk(stage, server, DATABASE, size.rows) for server in servers}


@contextmanager
def networks(stage: Stage, contenders: Sequence[Contender], delay: float) -> Iterator[dict[str, Proxy]]:
    """Run a proxy for each contender, so that none of them has to do with the connections of others."""
    with ExitStack() as stack:
        yield {
            each.name: stack.enter_context(proxy(stage.cluster.socket_directory, delay=delay)) for each in contenders
        }


@contextmanager
def all_serving(
    stage: Stage, contenders: Sequence[Contender], network: Mapping[str, Proxy] | None = None, *, workers: int = 1
) -> Iterator[list[Server]]:
    """Serve contenders on the same database, each through its proxy in `network` if that is given."""
    with ExitStack() as stack:
        servers = []
        for contender in contenders:
            url = network[contender.name].url if network else stage.cluster.url
            serving_one = serving(stage, contender, url(contender.role, DATABASE), workers=workers)
            servers.append(stack.enter_context(serving_one))
        yield servers
