"""Commands that a page shows, run in a shell, and what they print compared with the page."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from db.embedded import binary


def environment() -> dict[str, str]:
    """Return an environment in which the commands of the development environment and psql are found."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    programs = [Path(sys.executable).parent, Path(binary("psql")).parent]
    return kept | {"PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]])}


def run(commands: Sequence[str], environment: Mapping[str, str], cwd: Path) -> list[tuple[str, int]]:
    """Run commands one after another in one shell; return what each printed, errors included, and its exit code."""
    script = "exec 2>&1\n"
    for each in commands:
        script += f"{each}\nstatus=$?; printf '\\036%s\\036' $status; (exit $status)\n"
    command = ["bash", "-c", script]
    done = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    printed = done.stdout.split("\036")
    return [(output, int(status)) for output, status in zip(printed[::2], printed[1::2], strict=False)]


def shows(page: str, actual: str) -> bool:
    """Return whether the text of a page shows `actual`: … stands for anything, and the width of a space is free."""
    pattern = re.sub(r"\s+", r"\\s+", re.sub(r"[^\s…]+", lambda word: re.escape(word[0]), page)).replace("…", ".*")
    return re.fullmatch(pattern, actual, re.DOTALL) is not None
