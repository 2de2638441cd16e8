"""`make soak`: traffic and faults for some minutes, then a report. Exit code 1 when a promise is broken."""

import json
import signal
import sys
import time
import traceback
from pathlib import Path

import click
import uvloop

from benchmarks.soak.faults import KINDS, next_release
from benchmarks.soak.report import text
from benchmarks.soak.run import Options, Run
from benchmarks.soak.servers import Site, running
from benchmarks.stage import ROOT, BenchmarkError
from db.embedded import EmbeddedPostgresError


@click.command()
@click.option("--minutes", default=5.0, show_default=True, help="How long it runs, at least.")
@click.option("--requests", default=0, help="Run until so many were sent, however long that takes.")
@click.option("--seed", default=None, type=int, help="Decides the order of the faults, and what is sent.")
@click.option("--fault", "kinds", multiple=True, type=click.Choice([*KINDS]), help="Inject these only.")
@click.option("--calm", default=10.0, show_default=True, help="Seconds between two faults.")
@click.option("--save", is_flag=True, help="Write benchmarks/soak.json and soak.svg, which the documentation shows.")
def main(minutes: float, requests: int, seed: int | None, kinds: tuple[str, ...], calm: float, *, save: bool) -> None:
    """Send mixed traffic while faults are injected, then compare what was acknowledged with what is there.

    Exit code: 0 if every promise was kept, 1 if one was broken, 2 if it could not run. Ctrl-C ends it early, with the
    report of what was done.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: everything is stopped in order
    seed = seed if seed is not None else int(time.time())
    options = Options(seed, minutes * 60, requests, [*(kinds or KINDS)], calm)
    try:
        with running() as site:
            click.echo(f"seed {seed}, faults: {', '.join(options.kinds)}; until the end all is in {site.directory}")
            release = next_release(site.directory) if "migration" in options.kinds else None
            found = uvloop.run(Run(site, options, release).run())
            click.echo("\n" + text(found))
            if found["violations"]:
                click.echo(_log_of(site, {each["request_id"] for each in found["violations"]}))
    except KeyboardInterrupt:
        sys.exit(2)
    except (BenchmarkError, EmbeddedPostgresError) as error:
        click.echo(f"soak: {error}", err=True)
        sys.exit(2)
    except Exception:  # noqa: BLE001 - 1 would mean that a promise was broken
        traceback.print_exc()
        sys.exit(2)
    if save:
        _save(found, ROOT / "benchmarks")
    sys.exit(1 if found["violations"] else 0)


def _log_of(site: Site, request_ids: set[str]) -> str:
    """Return the lines of the API's log that are about these requests."""
    wanted = [f'"request_id":"{request_id}"'.encode() for request_id in request_ids if request_id]
    with site.log.file.open("rb") as log:
        lines = [line for line in log if any(each in line for each in wanted)]
    return b"".join([b"the log of the API:\n", *lines[:100]]).decode(errors="replace")


def _save(found: dict[str, object], directory: Path) -> None:
    """Write the figures and their plot."""
    from benchmarks.plots import plot_soak  # noqa: PLC0415 - needs matplotlib, which only `make bench` installs

    (directory / "soak.json").write_text(f"{json.dumps(found, ensure_ascii=False)}\n")
    plot_soak(found, directory / "soak.svg")


main(prog_name="python -m benchmarks.soak")
