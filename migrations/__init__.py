"""The migrations of the database. `python -m migrations` runs Alembic with them, wherever Partywall is installed."""

import os
import subprocess
import sys
from pathlib import Path


def alembic(url: str, *arguments: str) -> int:
    """Return the exit code of Alembic's command with `arguments`, run on the database at `url` by another process."""
    ours = str(Path(__file__).parent.parent)
    paths = os.pathsep.join([ours, os.environ["PYTHONPATH"]]) if "PYTHONPATH" in os.environ else ours
    return subprocess.run(  # noqa: S603
        # -P: a package `migrations` in the working directory is somebody else's.
        [sys.executable, "-P", "-m", "migrations", *arguments],
        env=os.environ | {"MIGRATION_DATABASE_URL": url, "PYTHONPATH": paths},
        check=False,
    ).returncode
