"""`python -m benchmarks.replica`: reads on a standby. How many there are, how many of them are stale, what it costs.

Both servers, the API and the load generator share this machine, so the throughput says what a replica costs and not
what another machine gains. Results are written to benchmarks/replica.json and replica.svg; with --quick to .bench/.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import click
import httpx2

from api.http.bookmark import NAME
from benchmarks.load import READS, check_wrk
from benchmarks.machine import machine
from benchmarks.measure import FULL, QUICK, Part, Size, in_turns, run_wrk, spread
from benchmarks.parts import DATABASE
from benchmarks.plots import plot_replica
from benchmarks.servers import Contender, Server, asgi, serving
from benchmarks.stage import ROOT, SERVER, BenchmarkError, Stage, stage
from db.embedded import Cluster, EmbeddedPostgresError

# What a replica needs, and a commit that waits for the disk.
REPLICATED = (
    *(each for each in SERVER if not each.startswith(("wal_level", "max_wal_senders", "synchronous_commit"))),
    "max_wal_size=4GB",
    "wal_keep_size=2GB",
)
STANDBY = ("shared_buffers=256MB", "max_connections=300")
READS_AFTER_WRITES = 500
UNPAIRED = 20  # writes of each kind, before the other one's turn


@click.command()
@click.option("--quick", is_flag=True, help="Short rounds, to see that everything works; the figures mean little.")
@click.option("--before", type=click.Path(path_type=Path), help="A checkout without replicas, to compare with.")
def main(before: Path | None, *, quick: bool) -> None:
    """Measure reads on a standby. Exit code 2: it could not."""
    size = replace(QUICK, rounds=2) if quick else FULL
    directory = ROOT / (".bench" if quick else "benchmarks")
    directory.mkdir(exist_ok=True)
    try:
        check_wrk()
        with stage(REPLICATED) as made, standby_of(made) as standby:
            made.make_database(DATABASE, size.rows)
            results: Part = {
                "date": datetime.now(UTC).date().isoformat(),
                "machine": machine(),
                "throughput": throughput(made, standby, size, before),
                **staleness(made, standby, size, READS_AFTER_WRITES // (10 if quick else 1)),
            }
    except (BenchmarkError, EmbeddedPostgresError) as error:
        click.echo(f"benchmark: {error}", err=True)
        sys.exit(2)
    (directory / "replica.json").write_text(f"{json.dumps(results, indent=2)}\n")
    plot_replica(results, directory / "replica.svg")
    click.echo(_table(results))


@contextmanager
def standby_of(made: Stage) -> Iterator[Cluster]:
    """Run a standby of the stage's PostgreSQL."""
    standby = Cluster(made.directory / "standby")
    standby.copy(made.cluster.url("postgres", "postgres"))
    standby.start(*STANDBY)
    try:
        yield standby
    finally:
        standby.stop()


def throughput(made: Stage, standby: Cluster, size: Size, before: Path | None) -> Part:
    """Measure reads without a replica and with one; and by the code of an earlier checkout, if there is one."""
    contenders = [_api("primary"), _api("replica", DATABASE_REPLICA_URL=standby.url("app_api", DATABASE))]
    if before:
        earlier = _api("before")
        contenders.insert(0, replace(earlier, command=(*earlier.command, "--app-dir", str(before))))
    with _all_serving(made, contenders) as servers:
        runs = {each.contender.name: run_wrk(made, each, DATABASE, size.rows) for each in servers}
        measured = in_turns((*made.processes, *_processes(standby)), "replica", dict.fromkeys(READS, runs), size)
    for part in measured.values():
        rounds = {name: each["requests_per_second"]["rounds"] for name, each in part["contenders"].items()}
        pairs = {"replica ÷ primary": ("replica", "primary"), "primary ÷ before": ("primary", "before")}
        part["ratios"] = {
            title: spread([a / b for a, b in zip(rounds[one], rounds[other], strict=True)], digits=3)
            for title, (one, other) in pairs.items()
            if {one, other} <= rounds.keys()
        }
    return measured


def staleness(made: Stage, standby: Cluster, size: Size, number: int) -> Part:
    """Count stale reads right after a write, each way; and compare how long writes take."""
    made.administer("postgres", "alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
    replica = standby.url("app_api", DATABASE)
    ways = {"nothing": "local", "bookmark": "local", "remote_apply": "remote_apply"}
    with ExitStack() as stack:
        clients = {}
        for commit in dict.fromkeys(ways.values()):
            url = made.cluster.url("app_api", DATABASE)
            with_commit = f"{url}&options={quote(f'-c synchronous_commit={commit}')}"
            contender = _api(commit, DATABASE_URL=with_commit, DATABASE_REPLICA_URL=replica)
            server = stack.enter_context(serving(made, contender, url))
            clients[commit] = stack.enter_context(_client(made, server))
        stale = {}
        for way, commit in ways.items():
            stale[way] = sum(_is_stale(clients[commit], bookmarked=way == "bookmark") for _ in range(number))
        seconds = _writes(clients, size)
    ratio = spread([a / b for a, b in zip(seconds["remote_apply"], seconds["local"], strict=True)], digits=3)
    made.administer("postgres", "alter system reset synchronous_standby_names", "select pg_reload_conf()")
    return {
        "stale": {"reads": number, **stale},
        "write_p50_ms": {
            commit: spread([1000 * each for each in values], digits=3) for commit, values in seconds.items()
        },
        "write_p50_ratio": ratio,
    }


def _is_stale(client: httpx2.Client, *, bookmarked: bool) -> bool:
    """Return whether a read right after a write does not find the row."""
    written = client.post("/tasks", json={"text": "Call the plumber about the leak"}).raise_for_status()
    headers = {NAME: written.headers[NAME]} if bookmarked else {}
    return client.get(written.headers["Location"], headers=headers).status_code == httpx2.codes.NOT_FOUND


def _writes(clients: dict[str, httpx2.Client], size: Size) -> dict[str, list[float]]:
    """Return the median seconds of a write in each round, with each setting in turns."""
    medians: dict[str, list[float]] = {commit: [] for commit in clients}
    for number in range(size.rounds):
        for commit, client in clients.items() if number % 2 else reversed(clients.items()):
            medians[commit].append(_median(UNPAIRED, lambda client=client: client.post("/tasks", json={"text": "x"})))  # type: ignore[misc]
    return medians


def _median(number: int, call: Callable[[], httpx2.Response]) -> float:
    times = []
    for _ in range(number):
        started = time.perf_counter()
        call().raise_for_status()
        times.append(time.perf_counter() - started)
    return sorted(times)[number // 2]


def _api(name: str, **settings: str) -> Contender:
    return asgi(name, "api.main:app", **settings)


@contextmanager
def _all_serving(made: Stage, contenders: Sequence[Contender]) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        url = made.cluster.url("app_api", DATABASE)
        servers = [stack.enter_context(serving(made, each, url)) for each in contenders]
        for server in servers:
            if "DATABASE_REPLICA_URL" in dict(server.contender.settings):
                _wait_for_replica(server)
        yield servers


@contextmanager
def _client(made: Stage, server: Server) -> Iterator[httpx2.Client]:
    _wait_for_replica(server)
    with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {made.token(0)}"}) as client:
        yield client


def _wait_for_replica(server: Server) -> None:
    deadline = time.monotonic() + 10
    while (state := httpx2.get(f"{server.url}/health").json()["replica"]) != "ok":
        if time.monotonic() > deadline:
            raise BenchmarkError(f"the replica of {server.contender.name} is {state}")
        time.sleep(0.1)


def _processes(cluster: Cluster) -> tuple[int]:
    pid, *_ = (cluster.socket_directory.parent / "postgres" / "postmaster.pid").read_text().split()
    return (int(pid),)


def _table(results: Part) -> str:
    lines = []
    for scenario, part in results["throughput"].items():
        for name, each in part["contenders"].items():
            lines.append(f"{scenario:10} {name:10} {each['requests_per_second']['median']:9,.0f}/s")
        lines += [f"{scenario:10} {title:20} {_shown(each)}" for title, each in part["ratios"].items()]
    lines += [f"stale, with {way:14} {number}" for way, number in results["stale"].items()]
    lines += [f"write, p50 ms, {commit:12} {_shown(each)}" for commit, each in results["write_p50_ms"].items()]
    lines.append(f"write, p50, remote_apply ÷ local {_shown(results['write_p50_ratio'])}")
    return "\n".join(lines)


def _shown(each: Part) -> str:
    return f"{each['median']:.3f} ({each['min']:.3f} to {each['max']:.3f})"


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.replica")
