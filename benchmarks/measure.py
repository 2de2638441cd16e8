"""Contenders are measured in turns, round after round, so that other load on the machine affects all of them alike.

A round in which other processes were busy is repeated.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from benchmarks.disturbance import TOO_MUCH, Sample
from benchmarks.load import WRITES, Load, pgbench, wrk
from benchmarks.servers import Server
from benchmarks.stage import Rows, Stage

WARM_UP = 1  # seconds

Part = dict[str, Any]  # of results.json
Run = Callable[[str, int], Load]  # of a scenario, for so many seconds
Runs = Mapping[str, Run]  # by the name of what is measured


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    repeats: int  # in all, of the disturbed rounds of a scenario
    seconds: int  # of one run
    rows: Rows
    tables: Sequence[Rows]  # while the table grows
    lists: Sequence[Rows]  # while one user's own list grows
    requests: int  # while a worker's memory is watched


FULL = Size(
    rounds=11,  # many short ones, so that what is compared runs within seconds of each other
    repeats=4,
    seconds=1,
    rows=Rows(users=100, tasks=1000),
    tables=[Rows(users, 1000) for users in (10, 100, 1000, 10_000)],
    lists=[Rows(1, tasks) for tasks in (1000, 10_000, 100_000, 1_000_000)],
    requests=100_000,
)
QUICK = Size(
    rounds=2,
    repeats=0,
    seconds=1,
    rows=Rows(users=20, tasks=200),
    tables=[Rows(users, 1000) for users in (10, 100)],
    lists=[Rows(1, tasks) for tasks in (1000, 10_000)],
    requests=10_000,
)


@dataclass(frozen=True)
class Round:
    """What each contender did in one scenario, one after the other, and how many cores other processes used."""

    loads: Mapping[str, Load]
    others: float | None  # None: not known

    @property
    def is_disturbed(self) -> bool:
        """Whether other processes used so much that the figures of the round say little."""
        return self.others is not None and self.others > TOO_MUCH


def in_turns(processes: Sequence[int], title: str, runs: Mapping[str, Runs], size: Size) -> Part:
    """Run each contender in each scenario: A B C, C B A, … Return summaries by scenario.

    For each round that others than `processes` disturbed there is another one at the end, when they may have finished,
    but not for ever. The least disturbed rounds are kept.
    """
    for scenario, contenders in runs.items():
        for run in contenders.values():
            run(scenario, WARM_UP)
    done: dict[str, list[Round]] = {scenario: [] for scenario in runs}
    for number in range(size.rounds + size.repeats):
        again = "" if number < size.rounds else ", to repeat one that was disturbed"
        for scenario, contenders in runs.items():
            if sum(not each.is_disturbed for each in done[scenario]) < size.rounds:
                where = f"{title}, round {number + 1}{again}"
                order = dict(contenders.items() if number % 2 == 0 else reversed([*contenders.items()]))
                done[scenario].append(_round(processes, where, scenario, order, size))
    return {scenario: _summaries(runs[scenario], rounds, size) for scenario, rounds in done.items()}


def _round(processes: Sequence[int], where: str, scenario: str, contenders: Runs, size: Size) -> Round:
    """Run each contender once, and observe the other processes meanwhile."""
    before = Sample.take(processes)
    loads = {}
    for name, run in contenders.items():
        loads[name] = run(scenario, size.seconds)
        click.echo(f"{where}: {scenario:9} {name:18} {loads[name].per_second:9,.0f}/s")
    after = Sample.take(processes)
    done = Round(loads, before.others_until(after) if before and after else None)
    if done.is_disturbed:
        click.echo(f"{where}: {scenario:9} was disturbed: other processes used {done.others:.2f} cores")
    return done


def _summaries(names: Iterable[str], rounds: Sequence[Round], size: Size) -> Part:
    """Return the summary of each contender, and what there was of other processes in each round that is kept."""
    kept = sorted(rounds, key=lambda each: each.others if each.others and each.is_disturbed else 0.0)[: size.rounds]
    return {
        "contenders": {name: summary([each.loads[name] for each in kept]) for name in names},
        "other_processes": {
            "cores": [None if each.others is None else round(each.others, 3) for each in kept],
            "rounds_repeated": len(rounds) - len(kept),
            "disturbed_rounds_kept": sum(each.is_disturbed for each in kept),
        },
    }


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


def run_pgbench(stage: Stage, database: str, rows: Rows, scripts: Mapping[str, str] | None = None) -> Run:
    """Return a function that runs pgbench, and tidies the database up after writes."""

    def run(scenario: str, seconds: int) -> Load:
        load = pgbench(stage, database, scenario, rows, seconds=seconds, scripts=scripts)
        if scenario in WRITES:
            stage.tidy(database)
        return load

    return run
