"""The benchmark tells its own processes from those of others, and repeats what others have disturbed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import disturbance, measure
from benchmarks.disturbance import Sample
from benchmarks.load import Load
from benchmarks.measure import QUICK, in_turns

WORK = "import time\nwhile time.process_time() < 0.3: pass"  # 0.3 seconds of CPU time
PIPES: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
FAMILY = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {WORK!r}], check=True)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def parent() -> Iterator[int]:
    """A process whose child has worked and ended, and that is still there."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], **PIPES) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid


def take(*roots: int) -> Sample:
    sample = Sample.take(roots)
    assert sample
    return sample


def test_what_a_child_has_used_is_our_own_once_it_has_ended() -> None:
    before = take(os.getpid())
    subprocess.run([sys.executable, "-c", WORK], check=True)

    assert take(os.getpid()).own - before.own >= 0.25


def test_what_a_child_uses_is_our_own_while_it_runs() -> None:
    before = take(os.getpid())
    with subprocess.Popen([sys.executable, "-c", f"{WORK}\nprint(flush=True)\ninput()"], **PIPES) as child:
        assert child.stdout
        child.stdout.readline()
        during = take(os.getpid())
        child.communicate(b"\n")

    assert during.own - before.own >= 0.25


def test_what_a_grandchild_has_used_is_our_own(parent: int) -> None:
    assert take(parent).own >= 0.25


def test_what_another_process_uses_is_not_our_own(parent: int) -> None:
    """A sibling: both are children of this process."""
    before = take(parent)
    subprocess.run([sys.executable, "-c", WORK], check=True)
    after = take(parent)

    assert after.busy - before.busy >= 0.25
    assert before.others_until(after) * (after.at - before.at) >= 0.2


def test_without_proc_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disturbance, "PROC", tmp_path)

    assert Sample.take([os.getpid()]) is None
    assert measured()["other_processes"] == {
        "cores": [None, None],
        "rounds_repeated": 0,
        "disturbed_rounds_kept": 0,
    }


def test_an_undisturbed_round_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "TOO_MUCH", 1000)
    order: list[str] = []
    measured(order)

    assert "".join(order) == "ababba"  # the warm-up comes first


def test_disturbed_rounds_are_repeated_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "TOO_MUCH", -1)
    order: list[str] = []
    found = measured(order)["other_processes"]

    assert "".join(order) == "ababbaab"
    assert (found["rounds_repeated"], found["disturbed_rounds_kept"]) == (1, 2)


def test_the_least_disturbed_rounds_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    others = iter([0.7, 0.2, 0.0])
    monkeypatch.setattr(Sample, "others_until", lambda _before, _after: next(others))

    found = measured()
    assert found["other_processes"] == {"cores": [0.0, 0.2], "rounds_repeated": 1, "disturbed_rounds_kept": 1}
    # The warm-up was the first run of each; what the second measured, with 0.7 cores used by others, is dropped.
    assert found["contenders"]["a"]["requests_per_second"]["rounds"] == [4, 3]


def measured(order: list[str] | None = None) -> dict[str, Any]:
    """Return what two rounds of one scenario find; the nth run of a contender does n requests per second."""
    order = [] if order is None else order

    def run(name: str) -> measure.Run:
        def one(_scenario: str, _seconds: int) -> Load:
            order.append(name)
            return Load(1, order.count(name))

        return one

    runs = {"list_50": {"a": run("a"), "b": run("b")}}
    found: dict[str, Any] = in_turns([os.getpid()], "test", runs, replace(QUICK, repeats=1))["list_50"]
    return found
