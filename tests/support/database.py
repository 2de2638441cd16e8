"""A database of a test: made, migrated, and reached as each role."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from db.embedded import ROLES

ROOT = Path(__file__).parent.parent.parent
PASSWORD = secrets.token_urlsafe(16)  # of every role: a server under TEST_DATABASE_URL may ask for one

Url = Callable[[str], str]


def alembic(url: str, *arguments: str, check: bool = True, tree: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run alembic as the pipeline does, in this tree or in a copy of it."""
    environment = os.environ | {"MIGRATION_DATABASE_URL": url}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=check,
    )


def url_of(role: str, database: Mapping[str, object]) -> str:
    """Return the URL by which `role` reaches a database described in libpq's words."""
    return (
        f"postgresql://{role}:{PASSWORD}@/{database['dbname']}"
        f"?host={quote(str(database['host']), safe='')}&port={database['port']}"
    )


def url_to(connection: psycopg.Connection, role: str) -> str:
    """Return the URL by which `role` reaches the database that `connection` is connected to."""
    info = connection.info
    return url_of(role, {"host": info.host, "port": info.port, "dbname": info.dbname})


def set_up(**database: Any) -> None:
    """Make the roles and migrate, as an ordinary login: the template that every test's database is a copy of."""
    with psycopg.connect(**database | {"autocommit": True}) as admin:
        admin.execute(ROLES.read_text())
        for role in ("app_api", "app_auditor", "app_migrator"):
            admin.execute(f"alter role {role} password '{PASSWORD}'")
    alembic(url_of("app_migrator", database), "upgrade", "head")
