"""The tables that are printed at the end of a run, and that docs/performance.md shows."""

from collections.abc import Iterator, Sequence

from benchmarks.disturbance import TOO_MUCH
from benchmarks.figures import growth_name
from benchmarks.load import READS
from benchmarks.measure import Part

NAME = 24  # characters


def table(results: Part) -> str:
    """Return the results as text."""
    lines: list[str] = []
    for workers, scenarios in results.get("throughput", {}).items():
        lines += _throughput(workers, scenarios)
    if "latency" in results:
        lines += _latency(results["latency"])
    if "round_trips" in results:
        lines += _round_trips(results["round_trips"])
    lines += _growth(results.get("growth", {}))
    if "workspaces" in results:
        lines += _workspaces(results["workspaces"])
    lines += _figures(results["figures"])
    lines += [f"left out: {name}, because {reason}" for name, reason in results.get("left_out", {}).items()]
    return "\n".join([*lines, *_other_processes(results)])


def _throughput(workers: str, scenarios: Part) -> list[str]:
    """One line per contender, in the order in which they were first measured."""
    names = dict.fromkeys(name for measured in scenarios.values() for name in measured["contenders"])
    title = f"requests/s, {workers} worker{'s' if workers != '1' else ''}"
    lines = ["", f"{title:{NAME}}" + "".join(f"{scenario:>10}" for scenario in scenarios)]
    for name in names:
        cells = []
        for measured in scenarios.values():
            found = measured["contenders"].get(name)
            cells.append(f"{found['requests_per_second']['median']:10,.0f}" if found else " " * 10)
        lines.append(f"  {name:{NAME - 2}}{''.join(cells)}".rstrip())
    return lines


def _latency(latency: Part) -> list[str]:
    title = f"database {latency['round_trip_ms']} ms away"
    scenarios = latency["scenarios"]
    heads = (f"{scenario:>12}{'p50 ms':>9}{'p99 ms':>9}" for scenario in scenarios)
    lines = ["", f"{title:{NAME}}" + "".join(heads)]
    for name in next(iter(scenarios.values()))["contenders"]:
        cells = []
        for measured in scenarios.values():
            found = measured["contenders"][name]
            p50, p99 = found["p50_ms"]["median"], found["p99_ms"]["median"]
            cells.append(f"{found['requests_per_second']['median']:10,.0f}/s{p50:9.2f}{p99:9.2f}")
        lines.append(f"  {name:{NAME - 2}}{''.join(cells)}")
    return lines


def _round_trips(counts: Part) -> list[str]:
    scenarios = [*next(iter(counts.values()))]
    lines = ["", f"{'round trips per request':{NAME}}" + "".join(f"{scenario:>10}" for scenario in scenarios)]
    for name, measured in counts.items():
        lines.append(f"  {name:{NAME - 2}}" + "".join(f"{measured[scenario]:10}" for scenario in scenarios))
    return lines


def _growth(growth: Part) -> list[str]:
    lines = []
    for kind, steps in growth.items():
        lines += ["", f"{kind + ' grows: time ÷ control':32}" + "".join(f"{name:>10}{'buffers':>10}" for name in READS)]
        for step in steps:
            cells = (f"{step[name]['time_ratio']['median']:10.3f}{step[name]['buffers']:10}" for name in READS)
            lines.append(f"  {growth_name(kind, step):30}" + "".join(cells))
    return lines


def _workspaces(shared: Part) -> list[str]:
    lines = ["", f"{'workspaces: requests/s':{NAME}}" + "".join(f"{name:>10}" for name in READS)]
    for name in ("workspace", "own"):
        paces = (shared["beside_tasks"][each]["contenders"][name]["requests_per_second"]["median"] for each in READS)
        lines.append(f"  {name:{NAME - 2}}" + "".join(f"{pace:10,.0f}" for pace in paces))
    lines += _growth({kind: shared[kind] for kind in ("members", "table")})
    ways = shared["usual_ways"]
    lines += ["", f"{'policies: transactions/s':{NAME}}" + "".join(f"{name:>23}" for name in ways)]
    for way in next(iter(ways.values()))["contenders"]:
        paces = (each["contenders"][way]["requests_per_second"]["median"] for each in ways.values())
        lines.append(f"  {way:{NAME - 2}}" + "".join(f"{pace:23,.0f}" for pace in paces))
    return lines


def _figures(found: Sequence[Part]) -> list[str]:
    lines = ["", f"{'figure':64}{'median':>8}{'min':>8}{'max':>8}{'required':>15}{'better':>15}"]
    words = {True: "met", False: "missed", None: ""}
    for each in found:
        cells = []
        for target, met in (("required", "met"), ("better", "better_met")):
            wanted = "" if each[target] is None else f"{each['sense']} {each[target]:g}"
            # A disturbed round makes neither of the two certain.
            word = words[each[met]] + "?" if words[each[met]] and each["disturbed_rounds"] else words[each[met]]
            cells.append(f"{wanted:>7}{word:>8}")
        values = "".join(f"{each[name]:8g}" for name in ("value", "min", "max"))
        lines.append(f"{each['figure']:64}{values}{''.join(cells)}".rstrip())
    return lines


def _other_processes(results: Part) -> list[str]:
    """Say how many rounds other processes disturbed, and whether that could be observed at all."""
    found = [*_observed(results)]
    if not found:
        return []
    known = [cores for each in found for cores in each["cores"] if cores is not None]
    if not known:
        return ["", "other processes: not known"]
    repeated, kept = (sum(each[name] for each in found) for name in ("rounds_repeated", "disturbed_rounds_kept"))
    lines = ["", f"other processes: at most {max(known):.2f} cores in a round; {repeated} rounds were repeated"]
    if kept:
        lines.append(f"?: {kept} of {len(known)} rounds are disturbed, other processes used more than {TOO_MUCH} cores")
    return lines


def _observed(part: object) -> Iterator[Part]:
    """Yield what was observed of other processes anywhere in the results."""
    if isinstance(part, dict):
        if "other_processes" in part:
            yield part["other_processes"]
        for inner in part.values():
            yield from _observed(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _observed(inner)
