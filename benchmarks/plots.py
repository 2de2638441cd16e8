"""Plots of results.json. The same results make the same bytes: no date, no random ids."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")  # before pyplot is imported: it draws into files and needs no display

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchmarks.load import READS
from benchmarks.measure import Part

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "partywall",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
OURS, OTHERS = "#1f6f5c", "#b9c4c0"
LINES = {
    ("table", "list_50"): "-",
    ("table", "read_one"): "--",
    ("own_list", "list_50"): "-.",
    ("own_list", "read_one"): ":",
}


def plot(results: Part, directory: Path) -> None:
    """Write a plot of each part that was measured and has one."""
    with mpl.rc_context(STYLE):
        if "throughput" in results:
            _throughput(results["throughput"], directory / "throughput.svg")
        if "growth" in results:
            _growth(results["growth"], directory / "growth.svg")
        if "latency" in results:
            _latency(results["latency"], directory / "latency.svg")
        if "memory" in results:
            _memory(results["memory"], directory / "memory.svg")


def _throughput(throughput: Part, file: Path) -> None:
    """One panel per scenario: requests per second with one worker."""
    scenarios = throughput["1"]
    with _panels(file, len(scenarios), width=11, height=2.4) as panels:
        for axes, (scenario, measured) in zip(panels, scenarios.items(), strict=True):
            axes.set_title(scenario)
            _bars(axes, {name: each["requests_per_second"] for name, each in measured["contenders"].items()}, "{:,.0f}")
            axes.set_xlabel("requests/s")


def _latency(latency: Part, file: Path) -> None:
    """One panel per scenario and percentile: milliseconds."""
    cases = [(scenario, time) for scenario in latency["scenarios"] for time in ("p50_ms", "p99_ms")]
    with _panels(file, len(cases), width=11, height=1.8) as panels:
        for axes, (scenario, time) in zip(panels, cases, strict=True):
            axes.set_title(f"{scenario}, {time.removesuffix('_ms')}")
            _bars(
                axes,
                {name: each[time] for name, each in latency["scenarios"][scenario]["contenders"].items()},
                "{:.1f}",
            )
            axes.set_xlabel("ms; the database is 1 ms away")


def _growth(growth: Part, file: Path) -> None:
    """Time per request against the control, by rows."""
    with _panels(file, 1, width=7, height=3.2) as [axes]:
        for kind, steps in growth.items():
            for scenario in READS:
                ratios = [step[scenario]["time_ratio"] for step in steps]
                axes.plot(
                    [step["rows"] for step in steps],
                    [ratio["median"] for ratio in ratios],
                    LINES[kind, scenario],
                    marker="o",
                    label=f"{scenario}, {kind.replace('_', ' ')} grows",
                )
        axes.set_xscale("log")
        axes.set_ylim(0, 1.6)
        axes.axhline(1.2, color=OTHERS, linewidth=1)
        axes.set_xlabel("rows")
        axes.set_ylabel("time per request ÷ control")
        axes.legend(frameon=False, loc="lower left")


def _memory(memory: Part, file: Path) -> None:
    """MiB of a worker, by requests."""
    requests, mib = zip(*memory["mib_after_requests"], strict=True)
    with _panels(file, 1, width=7, height=2.4) as [axes]:
        axes.plot(requests, mib, color=OURS)
        axes.set_ylim(0, max(100, *mib) * 1.1)
        axes.set_xlabel("requests")
        axes.set_ylabel("MiB per worker")


def _bars(axes: Axes, spreads: dict[str, Part], number: str) -> None:
    """Draw a bar of the median for each contender, first on top, with the spread as a whisker."""
    names = [*spreads]
    medians = [each["median"] for each in spreads.values()]
    below = [each["median"] - each["min"] for each in spreads.values()]
    above = [each["max"] - each["median"] for each in spreads.values()]
    colours = [OURS if name == "partywall" else OTHERS for name in names]
    bars = axes.barh(names, medians, xerr=[below, above], color=colours, error_kw={"linewidth": 0.8})
    axes.bar_label(bars, [number.format(median) for median in medians], padding=3, fontsize=8)
    axes.yaxis.set_inverted(True)  # shared: to invert it once per panel would be back and forth
    axes.margins(x=0.35)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))


@contextmanager
def _panels(file: Path, number: int, *, width: float, height: float) -> Iterator[Sequence[Axes]]:
    """Give axes side by side, to be saved as `file`."""
    figure, axes = plt.subplots(
        1, number, figsize=(width, height), sharey=number > 1, squeeze=False, layout="constrained"
    )
    yield [*axes[0]]
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
