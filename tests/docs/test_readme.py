"""The commands of README.md work by copy and paste, and print what it shows."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.database import ROOT
from tests.support.shell import environment, run, shows

README = (ROOT / "README.md").read_text()
# A command, and what it prints if that is shown.
COMMAND = re.compile(r"```sh\n(.*?)```\n(?:\n```(?:json)?\n(.*?)```)?", re.DOTALL)
PROGRAMS = Path(sys.executable).parent

pytestmark = pytest.mark.slow("the development server")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Run `make dev`'s server in a directory of its own; return its address."""
    command = [f"{PROGRAMS}/partywall", "dev", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield next(line.split()[2] for line in server.stdout if line.startswith("curl ")).removesuffix("/tasks")
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine: apt-get install curl")
def test_the_commands_print_what_the_readme_shows(address: str, tmp_path: Path) -> None:
    shown = COMMAND.findall(README)
    assert len(shown) == 6
    commands = [
        command.replace("http://127.0.0.1:8000", address).replace(".venv/bin/", f"{PROGRAMS}/") for command, _ in shown
    ]
    for (command, expected), (output, status) in zip(shown, run(commands, environment(), tmp_path), strict=True):
        assert status == 0, f"{command}{output}"
        assert not expected or shows(expected.strip(), output.strip()), f"{command}{output}"
