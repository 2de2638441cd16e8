"""Ratios with their targets, and the tables that are printed at the end of a run."""

from collections.abc import Sequence
from typing import Literal

from benchmarks.load import READS, SCENARIOS
from benchmarks.measure import Part, spread

TARGETS = (  # of throughput: partywall ÷ another contender; required and better, both at least
    ("list_50", "sqlmodel", 6, 9),
    ("read_one", "sqlmodel", 4, 7),
    ("create", "sqlmodel", 3, 5),
    ("list_50", "naive_rls", 2.5, 3.5),
    ("read_one", "ceiling", 0.4, 0.6),
)
COST_OF_RLS = (1.05, 1.02)  # no_rls ÷ partywall, at most
GROWTH = (1.2, 1.05)  # time of a request, at most
MEMORY_GROWTH = 1.05  # a worker's memory, the end ÷ the beginning, at most
MEMORY = 100  # MiB of a worker
ROUND_TRIPS = (3, 2)  # at most


def figures(results: Part) -> list[Part]:
    """Return each figure that has a target, of the parts that were measured."""
    found: list[Part] = []
    if throughput := results.get("throughput"):
        found += _throughput(throughput)
    for kind, steps in results.get("growth", {}).items():
        for scenario in READS:
            name = f"{scenario}: time per request, {_growth_name(kind, steps[-1])} ÷ {_growth_name(kind, steps[0])}"
            found.append(_figure(name, steps[-1][scenario]["time_ratio"]["rounds"], "≤", *GROWTH))
    if memory := results.get("memory"):
        (_, start), (requests, end) = memory["mib_after_requests"][0], memory["mib_after_requests"][-1]
        found.append(
            _figure(f"memory per worker: after {requests:,} requests ÷ before", [end / start], "≤", MEMORY_GROWTH)
        )
        found.append(_figure("memory per worker: MiB", [end], "≤", None, MEMORY))
    if trips := results.get("round_trips"):
        found.append(_figure("round trips per request", [max(trips["partywall"].values())], "≤", *ROUND_TRIPS))
    return found


def table(results: Part) -> str:
    """Return the results as the tables of docs/performance.md."""
    lines = [*_throughput_table(results.get("throughput", {}))]
    lines += [*_latency_table(results["latency"])] if "latency" in results else []
    lines += [*_growth_table(results.get("growth", {})), *_figures_table(results["figures"])]
    return "\n".join(lines)


def _throughput(throughput: Part) -> list[Part]:
    one = throughput["1"]

    def ratios(scenario: str, name: str, other: str) -> list[float]:
        pair = (one[scenario][each]["requests_per_second"]["rounds"] for each in (name, other))
        return [first / second for first, second in zip(*pair, strict=True)]

    found = [
        _figure(f"{scenario}: partywall ÷ {other}", ratios(scenario, "partywall", other), "≥", required, better)
        for scenario, other, required, better in TARGETS
    ]
    found += [
        _figure(f"{scenario}: no_rls ÷ partywall", ratios(scenario, "no_rls", "partywall"), "≤", *COST_OF_RLS)
        for scenario in SCENARIOS
    ]
    for workers in sorted(throughput.keys() - {"1"}):
        pair = (each["list_50"]["partywall"]["requests_per_second"]["rounds"] for each in (throughput[workers], one))
        values = [many / single for many, single in zip(*pair, strict=True)]
        found.append(_figure(f"list_50: partywall, {workers} workers ÷ 1", values, "≥"))
    return found


def _figure(
    name: str,
    values: Sequence[float],
    sense: Literal["≥", "≤"],
    required: float | None = None,
    better: float | None = None,
) -> Part:
    """Return a figure: the median of the rounds, and whether it meets its targets; null if it has none."""
    found = spread(values, digits=3)
    value = found["median"]

    def meets(target: float | None) -> bool | None:
        return None if target is None else bool(value >= target if sense == "≥" else value <= target)

    return {
        "figure": name,
        "value": value,
        "min": found["min"],
        "max": found["max"],
        "sense": sense,
        "required": required,
        "better": better,
        "met": meets(required),
        "better_met": meets(better),
    }


def _growth_name(kind: str, step: Part) -> str:
    return f"{step['rows']:,} rows" if kind == "table" else f"{step['rows_per_user']:,} own rows"


def _throughput_table(throughput: Part) -> list[str]:
    lines = []
    for workers, scenarios in throughput.items():
        names = [*next(iter(scenarios.values()))]
        lines += ["", f"{f'requests/s, workers: {workers}':24}" + "".join(f"{name:>11}" for name in names)]
        for scenario, measured in scenarios.items():
            medians = (measured[name]["requests_per_second"]["median"] for name in names)
            lines.append(f"  {scenario:22}" + "".join(f"{median:11,.0f}" for median in medians))
    return lines


def _latency_table(latency: Part) -> list[str]:
    lines = ["", f"{'database {} ms away'.format(latency['round_trip_ms']):32}{'p50 ms':>10}{'p99 ms':>10}"]
    for scenario, contenders in latency["scenarios"].items():
        for name, measured in contenders.items():
            p50, p99 = measured["p50_ms"]["median"], measured["p99_ms"]["median"]
            lines.append(f"  {scenario:12}{name:18}{p50:10.2f}{p99:10.2f}")
    return lines


def _growth_table(growth: Part) -> list[str]:
    lines = []
    for kind, steps in growth.items():
        lines += ["", f"{kind + ' grows: time ÷ control':32}" + "".join(f"{name:>10}{'buffers':>10}" for name in READS)]
        for step in steps:
            cells = (f"{step[name]['time_ratio']['median']:10.3f}{step[name]['buffers']:10}" for name in READS)
            lines.append(f"  {_growth_name(kind, step):30}" + "".join(cells))
    return lines


def _figures_table(found: Sequence[Part]) -> list[str]:
    lines = ["", f"{'figure':64}{'median':>8}{'min':>8}{'max':>8}{'required':>14}{'better':>14}"]
    words = {True: "met", False: "missed", None: ""}
    for each in found:
        cells = []
        for target, met in (("required", "met"), ("better", "better_met")):
            wanted = "" if each[target] is None else f"{each['sense']} {each[target]:g}"
            cells.append(f"{wanted:>7}{words[each[met]]:>7}")
        values = "".join(f"{each[name]:8g}" for name in ("value", "min", "max"))
        lines.append(f"{each['figure']:64}{values}{''.join(cells)}")
    return lines
