"""docs/security.md: the tests that it names exist, and its sessions go as they are shown."""

import ast
import re

import psycopg
import pytest
from psycopg import errors

from tests.support.database import ROOT, Url
from tests.support.psql_sessions import SESSION, TASKS, replay
from tests.support.shell import shows

PAGE = (ROOT / "docs/security.md").read_text()
TESTS = sorted(set(re.findall(r"\b(tests/[\w/]+\.py)::(\w+)", PAGE)))
ROW = re.compile(r"^\| (?!attempt |change |it can |---)(.+) \|$", re.MULTILINE)


def test_the_page_names_tests() -> None:
    assert len(TESTS) == len(set(re.findall(r"\w+\.py::\w+", PAGE))) > 40


@pytest.mark.parametrize(("file", "name"), TESTS, ids=[name for _, name in TESTS])
def test_a_test_that_the_page_names_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name.startswith("test_")


def test_each_attempt_has_a_test() -> None:
    attempts = PAGE.partition("## What is stopped")[2].partition("## What to set up")[0]
    rows = ROW.findall(attempts)
    assert len(rows) > 30
    assert [row for row in rows if "::test_" not in row] == []


def test_what_is_taken_away_is_refused_and_no_finding(admin: psycopg.Connection, url: Url) -> None:
    [revokes] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    admin.execute(revokes.encode())
    admin.commit()
    assert admin.execute("select * from audit.findings").fetchall() == []
    with psycopg.connect(url("app_api"), autocommit=True) as api:
        for end in ("pg_terminate_backend", "pg_cancel_backend"):
            with pytest.raises(errors.InsufficientPrivilege, match=end):
                api.execute(f"select {end}(pg_backend_pid())".encode())


def test_the_sessions_go_as_they_are_shown(admin: psycopg.Connection, url: Url) -> None:
    admin.execute(TASKS)
    admin.commit()
    sessions = SESSION.findall(PAGE)
    assert len(sessions) == PAGE.count("```\npartywall=") == 2
    for role, session in sessions:
        actual = replay(session, role, url)
        assert shows(session, actual), actual
