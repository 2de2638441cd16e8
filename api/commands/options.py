"""Options that several commands have, and how a command is called."""

import shlex
import shutil
import sys
from pathlib import Path

import click

DATA_DIR = Path(".data")

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DATA_DIR,
    show_default=True,
    help="Where the development database and its secrets are.",
)


def line_to_paste(data_dir: Path, *arguments: str) -> str:
    """Return the line that runs another `partywall` command on `data_dir`, as this one was run."""
    called = Path(sys.argv[0])
    program = [sys.argv[0]] if called.name != "__main__.py" else [sys.executable, "-m", "api"]
    if shutil.which(called.name) == str(called):
        program = [called.name]
    directory = [] if data_dir == DATA_DIR else ["--data-dir", str(data_dir)]
    return shlex.join([*program, *arguments, *directory])
