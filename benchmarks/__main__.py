"""`make bench`: measure every contender, print the ratios, write results.json and the plots."""

import json
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import parts
from benchmarks.figures import figures
from benchmarks.growth import growth
from benchmarks.load import check_wrk
from benchmarks.machine import machine, settings
from benchmarks.measure import FULL, QUICK, Part
from benchmarks.peers import install
from benchmarks.plots import plot
from benchmarks.stage import ROOT, BenchmarkError, stage
from benchmarks.tables import table
from benchmarks.workspaces import workspaces
from db.embedded import EmbeddedPostgresError

PARTS = {
    "round_trips": parts.round_trips,
    "throughput": parts.throughput,
    "latency": parts.latency,
    "memory": parts.memory,
    "growth": growth,
    "workspaces": workspaces,
}


@click.command()
@click.argument("names", metavar="[PART]...", nargs=-1, type=click.Choice([*PARTS]))
@click.option(
    "--quick",
    is_flag=True,
    help="Short rounds and small tables, to see that everything works; the figures mean little.",
)
def main(names: tuple[str, ...], *, quick: bool) -> None:
    """Measure the PARTs, or everything.

    PART: round_trips, throughput, latency, memory, growth, workspaces. The results of a full run are written to
    benchmarks/, those of a part or of --quick to .bench/. Exit code 2: it could not measure, or a contender gave a
    wrong response.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: everything is stopped in order
    directory = ROOT / (".bench" if quick or names else "benchmarks")
    size = QUICK if quick else FULL
    started = time.monotonic()
    try:
        check_wrk()
        peers, left_out = install()
        for name, reason in left_out.items():
            click.echo(f"left out: {name}, because {reason}")
        results: Part = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "settings": settings(size),
            "left_out": left_out,
        }
        with stage() as made:
            for name in names or PARTS:
                results[name] = PARTS[name](made, size, peers)
                results["figures"] = figures(results)
                save(results, directory)
    except (BenchmarkError, EmbeddedPostgresError) as error:
        click.echo(f"benchmark: {error}", err=True)
        sys.exit(2)
    click.echo(table(results))
    minutes = (time.monotonic() - started) / 60
    click.echo(f"\n{minutes:.0f} minutes; written to {directory.relative_to(ROOT)}/results.json, with plots beside it")


def save(results: Part, directory: Path) -> None:
    """Write the results so far, and their plots."""
    directory.mkdir(exist_ok=True)
    text = json.dumps(results, indent=2, ensure_ascii=False)
    (directory / "results.json").write_text(f"{text}\n")
    plot(results, directory)


main(prog_name="python -m benchmarks")
