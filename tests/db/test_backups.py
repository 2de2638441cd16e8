"""Backups: who can dump the tenants' rows, and who only seems to."""

import subprocess

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from db.embedded import binary
from tests.support.database import Url
from tests.support.members import everything


@pytest.fixture(autouse=True)
def _rows(admin: psycopg.Connection, workspaces: None) -> None:
    """Alice and Bob have a task each, and workspaces."""
    del workspaces
    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'Buy milk'), ('bob', 'Read')")
    admin.commit()


def dump(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Dump the rows of all tenants."""
    command = [binary("pg_dump"), "--data-only", "--inserts", "--schema", "app", *options, url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_owner_cannot_dump_what_policies_hide(url: Url) -> None:
    refused = dump(url("app_migrator"), "--role", "app_owner")

    assert refused.returncode == 1
    assert "would be affected by row-level security policy" in refused.stderr


def test_a_dump_of_the_owner_with_row_security_succeeds_and_has_no_row(url: Url) -> None:
    empty = dump(url("app_migrator"), "--role", "app_owner", "--enable-row-security")

    assert (empty.returncode, empty.stdout.count("INSERT INTO")) == (0, 0)


def test_a_superuser_dumps_every_row(admin: psycopg.Connection) -> None:
    whole = dump(make_conninfo(admin.info.dsn, password=admin.info.password))

    rows = 2 + sum(len(rows) for rows in everything(admin).values())
    assert (whole.returncode, whole.stdout.count("INSERT INTO")) == (0, rows)
