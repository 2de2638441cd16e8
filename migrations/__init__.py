"""The migrations of the database. `python -m migrations` runs Alembic with them, wherever Partywall is installed."""

import os
import subprocess
import sys
from pathlib import Path


def alembic(url: str, *arguments: str) -> int:
    """Return the exit code of Alembic's command with `arguments`, run on the database at `url` by another process."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "migrations", *arguments],
        cwd=Path(__file__).parent.parent,  # `-m` looks in the working directory first
        env=os.environ | {"MIGRATION_DATABASE_URL": url},
        check=False,
    ).returncode
