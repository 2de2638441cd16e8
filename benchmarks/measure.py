"""Contenders are measured in turns, round after round, so that other load on the machine affects all of them alike."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from benchmarks.load import WRITES, Load, pgbench, wrk
from benchmarks.servers import Server
from benchmarks.stage import Rows, Stage

WARM_UP = 1  # seconds

Part = dict[str, Any]  # of results.json
Run = Callable[[str, int], Load]  # of a scenario, for so many seconds


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    seconds: int  # of one run
    rows: Rows
    tables: Sequence[Rows]  # while the table grows
    lists: Sequence[Rows]  # while one user's own list grows
    requests: int  # while a worker's memory is watched


FULL = Size(
    rounds=15,  # many short ones, so that what is compared runs within seconds of each other
    seconds=1,
    rows=Rows(users=100, tasks=1000),
    tables=[Rows(users, 1000) for users in (10, 100, 1000, 10_000)],
    lists=[Rows(1, tasks) for tasks in (1000, 10_000, 100_000, 1_000_000)],
    requests=100_000,
)
QUICK = Size(
    rounds=2,
    seconds=1,
    rows=Rows(users=20, tasks=200),
    tables=[Rows(users, 1000) for users in (10, 100)],
    lists=[Rows(1, tasks) for tasks in (1000, 10_000)],
    requests=10_000,
)


def in_turns(title: str, runs: Mapping[str, Run], scenarios: Sequence[str], size: Size) -> Part:
    """Run each contender in each scenario: A B C, C B A, … Return summaries by scenario and name."""
    loads: dict[str, dict[str, list[Load]]] = {scenario: {name: [] for name in runs} for scenario in scenarios}
    for scenario in scenarios:
        for run in runs.values():
            run(scenario, WARM_UP)
    for number in range(size.rounds):
        for scenario in scenarios:
            for name in [*runs] if number % 2 == 0 else reversed([*runs]):
                load = runs[name](scenario, size.seconds)
                loads[scenario][name].append(load)
                where = f"{title}, round {number + 1} of {size.rounds}"
                click.echo(f"{where}: {scenario:9} {name:10} {load.per_second:9,.0f}/s")
    return {scenario: {name: summary(of) for name, of in names.items()} for scenario, names in loads.items()}


def summary(loads: Sequence[Load]) -> Part:
    """Return medians and spread."""
    result = {"requests_per_second": spread([load.per_second for load in loads], digits=1)}
    for name, values in (("p50_ms", [load.p50_ms for load in loads]), ("p99_ms", [load.p99_ms for load in loads])):
        if known := [value for value in values if value is not None]:
            result[name] = spread(known, digits=3)
    return result


def spread(values: Sequence[float], *, digits: int) -> Part:
    """Return the median, both extremes and the value of each round."""
    rounds = [round(value, digits) for value in values]
    return {
        "median": round(statistics.median(rounds), digits),
        "min": min(rounds),
        "max": max(rounds),
        "rounds": rounds,
    }


def run_wrk(stage: Stage, server: Server, database: str, rows: Rows, *, callers: int | None = None) -> Run:
    """Return a function that runs wrk against a server, and tidies the database up after writes."""

    def run(scenario: str, seconds: int) -> Load:
        load = wrk(stage, server, scenario, rows, seconds=seconds, callers=callers)
        if scenario in WRITES:
            stage.tidy(database)
        return load

    return run


def run_pgbench(stage: Stage, database: str, rows: Rows) -> Run:
    """Return a function that runs pgbench, and tidies the database up after writes."""

    def run(scenario: str, seconds: int) -> Load:
        load = pgbench(stage, database, scenario, rows, seconds=seconds)
        if scenario in WRITES:
            stage.tidy(database)
        return load

    return run
