"""The machine and the settings of a run, recorded in results.json."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.load import CONNECTIONS
from benchmarks.measure import Part, Size
from benchmarks.parts import cores
from benchmarks.peers import NODE
from benchmarks.servers import UVICORN
from benchmarks.stage import SERVER
from db.embedded import binary

PACKAGES = (
    *("asyncpg", "fastapi", "httptools", "pydantic", "pyjwt", "sqlalchemy", "sqlmodel"),
    *("starlette", "uvicorn", "uvloop"),
)


def machine() -> Part:
    """Return the hardware and the versions, without names or paths."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gib": round(memory, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": _version_line([binary("postgres"), "--version"]),
        "wrk": _version_line(["wrk", "--version"]),
        "node": _version_line(["node", "--version"]),
        "go": _version_line(["go", "version"]),
        "packages": {package: version(package) for package in PACKAGES},
        "packages_under_node": json.loads((NODE / "package.json").read_text())["dependencies"],
    }


def settings(size: Size) -> Part:
    """Return how much load there is, for how long, and the options of the servers."""
    return {
        "connections": CONNECTIONS,
        "rounds": size.rounds,
        "seconds_per_run": size.seconds,
        "users": size.rows.users,
        "tasks_per_user": size.rows.tasks,
        "postgresql": [*SERVER],
        "uvicorn": [*UVICORN],
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version_line(command: Sequence[str]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return output.partition("\n")[0].partition(" [")[0].strip()
