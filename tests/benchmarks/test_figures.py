"""What a run prints: figures with their verdicts, and how much they can be trusted."""

from typing import Any

from benchmarks.figures import TARGETS, TARGETS_1_MS, figures
from benchmarks.tables import table

SCENARIOS = ("list_50", "read_one", "create", "patch", "mixed")
OTHERS = ("three_trips", "no_rls", "fastify_pg", "go_pgx", "naive_rls", "sqlmodel", "ceiling", "pgbench")


def results(*, without: str = "", cores: float | None = 0.01, kept: int = 0) -> dict[str, Any]:
    """Return the results of a run in which Partywall was ten times as fast as all others, in three rounds."""

    def rounds(pace: float) -> dict[str, Any]:
        spread = {"median": pace, "min": pace, "max": pace, "rounds": [pace] * 3}
        return {"requests_per_second": spread, "p50_ms": spread, "p99_ms": spread}

    measured = {name: rounds(1000) for name in OTHERS if name != without}
    scenario = {
        "contenders": {"partywall": rounds(10_000), **measured},
        "other_processes": {"cores": [cores] * 3, "rounds_repeated": 2, "disturbed_rounds_kept": kept},
    }
    found: dict[str, Any] = {
        "left_out": {without: "there is no go on this machine"} if without else {},
        "throughput": {"1": dict.fromkeys(SCENARIOS, scenario)},
        "latency": {"round_trip_ms": 1.0, "scenarios": dict.fromkeys(SCENARIOS[:2], scenario)},
        "round_trips": {"partywall": dict.fromkeys(SCENARIOS[:4], 1), "naive_rls": dict.fromkeys(SCENARIOS[:4], 5)},
    }
    return found | {"figures": figures(found)}


def test_every_target_has_a_figure_of_its_contender() -> None:
    names = {each["figure"] for each in results()["figures"]}

    assert {f"{scenario}: partywall ÷ {other}" for scenario, other, *_ in TARGETS} <= names
    assert {f"{scenario}, 1 ms away: partywall ÷ {other}" for scenario, other, *_ in TARGETS_1_MS} <= names


def test_the_round_trips_are_those_of_the_scenario_that_has_most() -> None:
    found = results()
    found["round_trips"]["partywall"]["create"] = 3
    [trips] = [each for each in figures(found) if each["figure"] == "round trips per request"]

    assert (trips["value"], trips["met"]) == (3, False)


def test_a_contender_that_was_left_out_has_no_figure_and_a_reason() -> None:
    found = results(without="go_pgx")

    assert not [each for each in found["figures"] if "go_pgx" in each["figure"]]
    assert "left out: go_pgx, because there is no go on this machine" in table(found)


def test_what_disturbed_rounds_say_is_marked() -> None:
    lines = [line for line in table(results(cores=0.5, kept=1)).splitlines() if "÷ " in line]

    assert all("met?" in line or "missed?" in line for line in lines)


def test_undisturbed_rounds_are_not_marked() -> None:
    shown = table(results())

    assert "?" not in shown
    assert "at most 0.01 cores in a round; 14 rounds were repeated" in shown


def test_it_is_said_when_nothing_is_known_of_other_processes() -> None:
    shown = table(results(cores=None))

    assert "other processes: not known" in shown
    assert "?" not in shown
