"""The parts of results.json, but for growth: `benchmarks/growth.py`."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import click
import httpx2
import psycopg

from benchmarks.check import check
from benchmarks.load import READS, SCENARIOS
from benchmarks.measure import Part, Size, in_turns, run_pgbench, run_wrk
from benchmarks.proxy import Proxy, proxy
from benchmarks.servers import CONTENDERS, NAIVE_RLS, NO_RLS, PARTYWALL, SQLMODEL, Contender, Server, serving
from benchmarks.stage import Stage

DATABASE = "bench"
DELAY = 0.00037  # seconds, in each direction: with what the proxy itself takes, 1 ms there and back


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def throughput(stage: Stage, size: Size) -> Part:
    """Measure each contender in each scenario, with one worker and with as many as there are cores."""
    stage.make_database(DATABASE, size.rows)
    result = {}
    for workers in sorted({1, cores()}):
        with all_serving(stage, CONTENDERS, workers=workers) as servers:
            check(stage, servers, size.rows)
            stage.tidy(DATABASE)
            runs = {server.contender.name: run_wrk(stage, server, DATABASE, size.rows) for server in servers}
            if workers == 1:
                runs["pgbench"] = run_pgbench(stage, DATABASE, size.rows)
            result[str(workers)] = in_turns(f"{workers} worker(s)", runs, SCENARIOS, size)
    return result


def latency(stage: Stage, size: Size) -> Part:
    """Measure reads while the database is a millisecond away."""
    stage.make_database(DATABASE, size.rows)
    with (
        proxy(stage.cluster.socket_directory, delay=DELAY) as network,
        all_serving(stage, (PARTYWALL, NAIVE_RLS, SQLMODEL), network) as servers,
    ):
        runs = {server.contender.name: run_wrk(stage, server, DATABASE, size.rows) for server in servers}
        return {
            "round_trip_ms": _ping(network.url(PARTYWALL.role, DATABASE)),
            "scenarios": in_turns("database 1 ms away", runs, READS, size),
        }


def memory(stage: Stage, size: Size) -> Part:
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


def round_trips(stage: Stage, size: Size) -> Part:
    """Count how often a request waits for PostgreSQL, on the wire."""
    stage.make_database(DATABASE, size.rows)
    result = {}
    with (
        proxy(stage.cluster.socket_directory) as network,
        all_serving(stage, (PARTYWALL, NO_RLS, NAIVE_RLS, SQLMODEL), network) as servers,
    ):
        for server in servers:
            token = {"Authorization": f"Bearer {stage.token(0)}"}
            with httpx2.Client(base_url=server.url, headers=token) as client:
                task = f"/tasks/{size.rows.task_id(0, 0)}"
                body = {"text": "Call the plumber about the leak"}
                requests = {
                    "list_50": client.build_request("GET", "/tasks?sort=-created"),
                    "read_one": client.build_request("GET", task),
                    "create": client.build_request("POST", "/tasks", json=body),
                    "patch": client.build_request("PATCH", task, json=body),
                }
                result[server.contender.name] = {
                    scenario: _count(network, client, request) for scenario, request in requests.items()
                }
    return result


def _count(network: Proxy, client: httpx2.Client, request: httpx2.Request) -> int:
    """Return the round trips of one request.

    The median of several: the first one prepares its statements, and the readiness check has queries of its own.
    """
    counts = []
    for _ in range(15):
        before = network.round_trips
        client.send(request).raise_for_status()
        counts.append(network.round_trips - before)
    return int(statistics.median(counts))


def _ping(url: str) -> float:
    """Return the median time of a round trip to the database, in milliseconds."""
    times = []
    with psycopg.connect(url, sslmode="disable", autocommit=True) as connection:
        for _ in range(200):
            started = time.perf_counter()
            connection.execute("select")
            times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 3)


@contextmanager
def all_serving(
    stage: Stage, contenders: Sequence[Contender], network: Proxy | None = None, *, workers: int = 1
) -> Iterator[list[Server]]:
    """Serve contenders on the same database, through `network` if it is given."""
    with ExitStack() as stack:
        servers = []
        for contender in contenders:
            url = network.url if network else stage.cluster.url
            serving_one = serving(stage, contender, url(contender.role, DATABASE), workers=workers)
            servers.append(stack.enter_context(serving_one))
        yield servers
