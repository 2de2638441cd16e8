"""pgrls, a linter of policies that knows nothing of Partywall, reports what pgrls.toml accepts and nothing else."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import psycopg
import pytest

from tests.support.database import ROOT, Url

CONFIG = ROOT / "pgrls.toml"


def pgrls(url: str, *arguments: str, config: Path = CONFIG) -> subprocess.CompletedProcess[str]:
    """Lint a database."""
    return subprocess.run(
        [sys.executable, "-m", "pgrls", "lint", f"--config={config}", *arguments],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


def test_pgrls_reports_nothing_that_is_not_accepted(url: Url) -> None:
    answer = pgrls(url("app_migrator"))
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_everything_that_is_accepted_is_still_reported(url: Url, tmp_path: Path) -> None:
    strict = tmp_path / "pgrls.toml"
    strict.write_text(re.sub(r"^(disable|allowlist) = .*$", "", CONFIG.read_text(), flags=re.MULTILINE))
    answer = pgrls(url("app_migrator"), "--format=json", config=strict)
    found = {(finding["rule_id"], finding["location"]) for finding in json.loads(answer.stdout)["violations"]}

    lint = tomllib.loads(CONFIG.read_text())["lint"]
    listed = {(rule, place) for rule, options in lint["rules"].items() for place in options.get("allowlist", [])}
    assert listed <= found
    assert set(lint["disable"]) <= {rule for rule, _ in found}


@pytest.mark.parametrize(
    ("mistake", "rule"),
    [
        ("alter table app.tasks disable row level security", "SEC032"),
        ("alter table app.tasks no force row level security", "SEC002"),
        ("alter policy tasks_belong_to_their_user on app.tasks using (true)", "SEC008"),
        ("alter policy tasks_belong_to_their_user on app.tasks with check (not completed)", "SEC040"),
        ('create table app."Scratch" (user_id text)', "SEC001"),
        ("alter table app.tasks add constraint tasks_text_key unique (text)", "SEC035"),
        ("alter function app.current_user_id() immutable", "SEC046"),
        ("create view app.all_tasks as table app.tasks", "VIEW001"),
        ("create view audit.all_tasks as table app.tasks", "VIEW001"),
    ],
)
def test_pgrls_reports_a_mistake(admin: psycopg.Connection, url: Url, mistake: str, rule: str) -> None:
    admin.execute(mistake)
    admin.commit()
    answer = pgrls(url("app_migrator"))
    assert answer.returncode == 1, answer.stderr
    assert f" {rule} " in answer.stdout
