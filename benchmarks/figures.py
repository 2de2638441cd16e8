"""Ratios, and whether they meet their targets."""

from collections.abc import Sequence
from typing import Literal

from benchmarks.load import READS, SCENARIOS
from benchmarks.measure import Part, spread

# partywall ÷ another contender, in requests per second: required and better, both at least.
TARGETS = (
    ("list_50", "three_trips", 1.2, 1.35),
    ("read_one", "three_trips", 1.35, 1.6),
    ("create", "three_trips", 1.2, 1.4),
    ("list_50", "fastify_pg", 1.0, 1.2),
    ("read_one", "fastify_pg", 1.0, 1.2),
    ("list_50", "naive_rls", 2.5, 3.5),
    ("list_50", "sqlmodel", 6, 9),
    ("read_one", "sqlmodel", 4, 7),
    ("create", "sqlmodel", 3, 5),
    ("list_50", "pgbench", 0.5, 0.55),
    ("read_one", "ceiling", 0.4, 0.6),
)
TARGETS_1_MS = (  # the same, with the database 1 ms away
    ("list_50", "three_trips", 2, 2.5),
    ("read_one", "three_trips", 2, 2.5),
    ("list_50", "go_pgx", 0.8, 0.95),
    ("read_one", "go_pgx", 0.8, 0.95),
)
COST_OF_RLS = (1.05, 1.02)  # no_rls ÷ partywall, at most
SHARING = (0.85, 0.95)  # tasks of a workspace ÷ a user's own, in requests per second, at least
GROWTH = (1.2, 1.05)  # time of a request, at most
MEMORY_GROWTH = 1.05  # a worker's memory, the end ÷ the beginning, at most
MEMORY = 100  # MiB of a worker
ROUND_TRIPS = (1, 1)  # at most


def figures(results: Part) -> list[Part]:
    """Return each figure that has a target, of the parts and the contenders that were measured."""
    found: list[Part] = []
    if throughput := results.get("throughput"):
        found += _throughput(throughput)
    if latency := results.get("latency"):
        found += _ratios(latency["scenarios"], TARGETS_1_MS, ", 1 ms away")
    for kind, steps in results.get("growth", {}).items():
        for scenario in READS:
            name = f"{scenario}: time per request, {growth_name(kind, steps[-1])} ÷ {growth_name(kind, steps[0])}"
            last = steps[-1][scenario]
            found.append(_figure(name, last["time_ratio"]["rounds"], "≤", *GROWTH, disturbed=_disturbed(last)))
    if shared := results.get("workspaces"):
        found += _workspaces(shared)
    if memory := results.get("memory"):
        (_, start), (requests, end) = memory["mib_after_requests"][0], memory["mib_after_requests"][-1]
        found.append(
            _figure(f"memory per worker: after {requests:,} requests ÷ before", [end / start], "≤", MEMORY_GROWTH)
        )
        found.append(_figure("memory per worker: MiB", [end], "≤", None, MEMORY))
    if trips := results.get("round_trips"):
        found.append(_figure("round trips per request", [max(trips["partywall"].values())], "≤", *ROUND_TRIPS))
    return found


def growth_name(kind: str, step: Part) -> str:
    """Return what a step of the growth has: rows of the table, or of one user, or members of a workspace."""
    if kind == "members":
        return f"{step['members']:,} members"
    return f"{step['rows']:,} rows" if kind == "table" else f"{step['rows_per_user']:,} own rows"


def _workspaces(shared: Part) -> list[Part]:
    found = []
    for scenario in READS:
        beside = shared["beside_tasks"][scenario]
        values = _paired(beside["contenders"], "workspace", "own")
        found.append(
            _figure(f"{scenario}: a workspace's ÷ one's own", values, "≥", *SHARING, disturbed=_disturbed(beside))
        )
    for kind in ("members", "table"):
        first, *_, last = shared[kind]
        for scenario in READS:
            name = f"{scenario} of a workspace: {growth_name(kind, last)} ÷ {growth_name(kind, first)}"
            rounds, disturbed = last[scenario]["time_ratio"]["rounds"], _disturbed(last[scenario])
            found.append(_figure(name, rounds, "≤", *GROWTH, disturbed=disturbed))
    for statement, measured in shared["usual_ways"].items():
        for way in ("sub_select", "per_row"):
            values = _paired(measured["contenders"], "policy", way)
            found.append(_figure(f"{statement}: policy ÷ {way}", values, "≥", disturbed=_disturbed(measured)))
    return found


def _throughput(throughput: Part) -> list[Part]:
    one = throughput["1"]
    found = _ratios(one, TARGETS)
    for scenario in SCENARIOS:
        values = _paired(one[scenario]["contenders"], "no_rls", "partywall")
        name = f"{scenario}: no_rls ÷ partywall"
        found.append(_figure(name, values, "≤", *COST_OF_RLS, disturbed=_disturbed(one[scenario])))
    for workers in sorted(throughput.keys() - {"1"}):
        pair = (each["list_50"]["contenders"]["partywall"] for each in (throughput[workers], one))
        many, single = (each["requests_per_second"]["rounds"] for each in pair)
        values = [first / second for first, second in zip(many, single, strict=True)]
        found.append(_figure(f"list_50: partywall, {workers} workers ÷ 1", values, "≥"))
    return found


def _ratios(scenarios: Part, targets: Sequence[tuple[str, str, float, float]], where: str = "") -> list[Part]:
    """Return a figure for each target, unless its contender was left out."""
    return [
        _figure(
            f"{scenario}{where}: partywall ÷ {other}",
            _paired(scenarios[scenario]["contenders"], "partywall", other),
            "≥",
            required,
            better,
            disturbed=_disturbed(scenarios[scenario]),
        )
        for scenario, other, required, better in targets
        if other in scenarios[scenario]["contenders"]
    ]


def _paired(contenders: Part, name: str, other: str) -> list[float]:
    """Return the ratio of each round."""
    pair = (contenders[each]["requests_per_second"]["rounds"] for each in (name, other))
    return [first / second for first, second in zip(*pair, strict=True)]


def _disturbed(scenario: Part) -> int:
    return int(scenario["other_processes"]["disturbed_rounds_kept"])


def _figure(
    name: str,
    values: Sequence[float],
    sense: Literal["≥", "≤"],
    required: float | None = None,
    better: float | None = None,
    *,
    disturbed: int = 0,
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
        "disturbed_rounds": disturbed,
    }
