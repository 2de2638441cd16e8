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
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WIDTH = 9.0  # inches: about as many pixels as a page on GitHub is wide, so that the text keeps its size
BAR = 0.27  # inches
OURS, VARIANTS, OTHERS, FAILED = "#1f6f5c", "#7fb3a5", "#b9c4c0", "#b3432b"
TITLES = {"list_50": "a page of 50", "read_one": "one row", "create": "a new row"}
LABELS = {  # of what is compared, from top to bottom
    "partywall": "Partywall",
    "three_trips": "… in three round trips",
    "no_rls": "… without policies",
    "go_pgx": "Go + pgx",
    "fastify_tuned": "Fastify + pg, tuned",
    "fastify_pg": "Fastify + pg",
    "fastify_postgres": "Fastify + postgres.js",
    "postgraphile": "PostGraphile",
    "naive_rls": "FastAPI + asyncpg",
    "sqlmodel": "FastAPI + SQLModel",
}
YARDSTICKS = {"pgbench": "pgbench: no API", "ceiling": "ceiling: no database"}
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
            _bars(results["throughput"]["1"], directory / "throughput.svg")
        if "growth" in results:
            _growth(results["growth"], directory / "growth.svg")
        if "latency" in results:
            _bars(results["latency"]["scenarios"], directory / "latency.svg")
        if "memory" in results:
            _memory(results["memory"], directory / "memory.svg")


def plot_replica(results: Part, file: Path) -> None:
    """Write the plot of `benchmarks.replica`: requests per second, and stale reads."""
    labels = {"primary": "without a replica", "replica": "with one"}
    ways = {"nothing": "nothing", "bookmark": "the bookmark", "remote_apply": "remote_apply"}
    stale = results["stale"]
    with mpl.rc_context(STYLE), _panels(file, [2, 3], 2, WIDTH) as [above, [below, unused]]:
        for scenario, axes in zip(READS, above, strict=True):
            contenders = results["throughput"][scenario]["contenders"]
            _bar_chart(axes, {label: contenders[name]["requests_per_second"] for name, label in labels.items()})
            axes.set_title(f"{TITLES[scenario]}, requests/s, all on one machine")
        above[0].set_yticks(range(2), [*labels.values()])
        _bar_chart(below, {label: dict.fromkeys(("median", "min", "max"), stale[way]) for way, label in ways.items()})
        below.set_yticks(range(3), [*ways.values()])
        below.set_title(f"stale reads right after a write, of {stale['reads']}")
        unused.set_visible(False)


def plot_soak(results: Part, file: Path) -> None:
    """Write the plot of `benchmarks.soak`: requests over time, with the faults; when they succeeded again."""
    timeline, kinds = results["timeline"], results["faults"]
    minutes = [number * timeline["step_seconds"] / 60 for number in range(len(timeline["requests"]))]
    with mpl.rc_context(STYLE), _panels(file, [8, len(kinds)], 1, WIDTH) as [[above], [below]]:
        above.fill_between(minutes, timeline["requests"], color=VARIANTS, linewidth=0, label="requests/s")
        above.fill_between(minutes, timeline["failed"], color=FAILED, linewidth=0, label="… that failed")
        for _, began, over in timeline["faults"]:
            above.axvspan(began / 60, over / 60, color=OTHERS, alpha=0.4, linewidth=0)
        above.set_ylim(0, 1.2 * max(timeline["requests"]))
        above.set_xlabel("minutes; grey: a fault")
        above.legend(frameon=False, loc="upper right", ncols=2)
        places = [*range(len(kinds))]
        below.barh(places, [kind["seconds"] for kind in kinds.values()], 0.8, color=OTHERS, label="how long it lasts")
        below.barh(
            places, [kind["failed_for"] for kind in kinds.values()], 0.4, color=FAILED, label="how long requests fail"
        )
        below.set_yticks(places, [*kinds])
        below.yaxis.set_inverted(True)
        below.tick_params(length=0)
        below.set_xlabel("seconds, at most")
        below.legend(frameon=False, loc="lower right")


def _bars(scenarios: Part, file: Path) -> None:
    """One column per scenario that all were measured in; below, the yardsticks, which have a scale of their own."""
    columns = [scenario for scenario in TITLES if scenario in scenarios]
    measured = {name for scenario in columns for name in scenarios[scenario]["contenders"]}
    groups = [[name for name in labels if name in measured] for labels in (LABELS, YARDSTICKS)]
    groups = [group for group in groups if group]
    with _panels(file, [len(group) for group in groups], len(columns), WIDTH) as rows:
        for group, row in zip(groups, rows, strict=True):
            for scenario, axes in zip(columns, row, strict=True):
                contenders = scenarios[scenario]["contenders"]
                _bar_chart(axes, {name: contenders[name]["requests_per_second"] for name in group})
            row[0].set_yticks(range(len(group)), [(LABELS | YARDSTICKS)[name] for name in group])
        for scenario, axes in zip(columns, rows[0], strict=True):
            axes.set_title(f"{TITLES[scenario]}, requests/s")
        for row in rows[1:]:
            row[0].set_title("yardsticks, on another scale", loc="left")


def _growth(growth: Part, file: Path) -> None:
    """Time per request against the control, by rows."""
    with _panels(file, [11], 1, width=7) as [[axes]]:
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
    with _panels(file, [8], 1, width=7) as [[axes]]:
        axes.plot(requests, mib, color=OURS)
        axes.set_ylim(0, max(100, *mib) * 1.1)
        axes.set_xlabel("requests")
        axes.set_ylabel("MiB per worker")


def _bar_chart(axes: Axes, spreads: dict[str, Part]) -> None:
    """Draw a bar of the median for each contender, first on top, with the spread as a whisker."""
    medians = [each["median"] for each in spreads.values()]
    below = [each["median"] - each["min"] for each in spreads.values()]
    above = [each["max"] - each["median"] for each in spreads.values()]
    variants = dict.fromkeys(("three_trips", "no_rls"), VARIANTS) | {"partywall": OURS}
    colours = [variants.get(name, OTHERS) for name in spreads]
    bars = axes.barh([*range(len(medians))], medians, xerr=[below, above], color=colours, error_kw={"linewidth": 0.8})
    axes.bar_label(bars, [f"{median:,.0f}" for median in medians], padding=4)
    axes.yaxis.set_inverted(True)  # shared: to invert it once per panel would be back and forth
    axes.tick_params(length=0)
    axes.margins(x=0.35)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter("{x:,.0f}")


@contextmanager
def _panels(file: Path, heights: Sequence[int], columns: int, width: float) -> Iterator[Sequence[Sequence[Axes]]]:
    """Give rows of axes, each row as high as so many bars, to be saved as `file`."""
    figure, axes = plt.subplots(
        len(heights),
        columns,
        figsize=(width, (sum(heights) + 2 * len(heights)) * BAR),
        height_ratios=[height + 1 for height in heights],
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    yield axes.tolist()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
