"""Backups: who can dump the tenants' rows, and who only seems to; what a definition is after a dump and a restore."""

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


@pytest.mark.parametrize(
    ("made", "restored"),
    [
        ("(((a >= 1) AND (a <= 2)) AND (b <> 'x'::text))", "((a >= 1) AND (a <= 2) AND (b <> 'x'::text))"),
        ("(((a < 1) OR (a > 2)) OR completed)", "((a < 1) OR (a > 2) OR completed)"),
        ("((f((a)::text) AND (NOT b)) AND c)", "(f((a)::text) AND (NOT b) AND c)"),
    ],
)
def test_a_definition_that_a_restore_writes_otherwise_is_the_same_to_the_audit(
    admin: psycopg.Connection, made: str, restored: str
) -> None:
    assert admin.execute("select audit.flattened(%s)", [made]).fetchone() == (restored,)
    assert admin.execute("select audit.flattened(%s)", [restored]).fetchone() == (restored,)


@pytest.mark.parametrize(
    "definition",
    ["((a OR b) AND c)", "((a AND b) OR c)", "not (a AND b) AND c", "(NOT (a AND b)) AND c", "f(a AND b) AND c"],
)
def test_brackets_that_mean_something_are_part_of_a_definition(admin: psycopg.Connection, definition: str) -> None:
    assert admin.execute("select audit.flattened(%s)", [definition]).fetchone() == (definition,)
