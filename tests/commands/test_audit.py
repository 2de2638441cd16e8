"""`partywall audit` as a pipeline runs it: what it prints, and the exit code."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from db.audit import CHECKS
from tests.support.database import ROOT, Url, alembic
from tests.support.twins import SURFACE

ACCEPTED = ROOT / "db/audit/schema/accepted.sql"
EXAMPLES = ROOT / "db/audit/schema/examples.sql"
PARTYWALL = Path(sys.executable).with_name("partywall")

NOT_FORCED = "alter table app.tasks no force row level security"
DISABLED = "alter table app.tasks disable row level security"


def audit(url: str | None, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    if url is not None:
        environment["DATABASE_URL"] = url
    return subprocess.run(
        [PARTYWALL, "audit", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def dba(admin: psycopg.Connection) -> psycopg.Connection:
    """A superuser whose changes others see."""
    admin.autocommit = True
    return admin


@pytest.fixture(params=["app_api", "app_auditor", "app_migrator", "postgres"])
def login(request: pytest.FixtureRequest, url: Url) -> str:
    """Each login that has a reason to audit."""
    return url(request.param)


# ---- the exit code -----------------------------------------------------------------------------------


def test_a_healthy_database_is_clean_for_every_login(login: str) -> None:
    answer = audit(login)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == f"{len(CHECKS)} checks: no findings\n"


def test_a_disabled_policy_is_reported_to_every_login(login: str, dba: psycopg.Connection) -> None:
    dba.execute(DISABLED)
    answer = audit(login)
    assert (answer.returncode, answer.stderr) == (1, "")
    assert "rls_disabled" in answer.stdout


@pytest.mark.parametrize(
    ("change", "fail_on", "exit_code"),
    [
        (NOT_FORCED, "info", 1),
        (NOT_FORCED, "warning", 1),
        (NOT_FORCED, "error", 0),
        (DISABLED, "info", 1),
        (DISABLED, "warning", 1),
        (DISABLED, "error", 1),
    ],
)
def test_the_pipeline_decides_which_findings_stop_it(
    change: str, fail_on: str, exit_code: int, url: Url, dba: psycopg.Connection
) -> None:
    dba.execute(change)
    answer = audit(url("app_auditor"), "--fail-on", fail_on)
    assert answer.returncode == exit_code
    assert "app.tasks" in answer.stdout


def cannot_audit(answer: subprocess.CompletedProcess[str], reason: str) -> bool:
    """It says so on stderr, in one line, and with its own exit code."""
    return (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (2, "", 1) and reason in answer.stderr


def test_a_database_that_cannot_be_reached_is_not_a_clean_one(tmp_path: Path) -> None:
    assert cannot_audit(audit(f"postgresql://app_api@/partywall?host={tmp_path}"), "cannot audit")
    assert cannot_audit(audit("mysql://localhost/partywall"), "cannot audit")
    assert cannot_audit(audit(None, cwd=tmp_path), "no database runs in .data")


def test_a_login_without_the_right_to_audit_is_told_so(url: Url, dba: psycopg.Connection) -> None:
    dba.execute("revoke usage on schema audit from app_auditor")
    assert cannot_audit(audit(url("app_auditor")), "permission denied for schema audit")


@pytest.mark.parametrize(
    "change",
    ["drop schema audit cascade", "comment on schema audit is 'of an older version'", "drop view audit.findings"],
)
def test_an_audit_of_another_version_is_not_believed(change: str, url: Url, dba: psycopg.Connection) -> None:
    dba.execute(change)
    answer = audit(url("postgres"))
    assert cannot_audit(answer, "cannot audit")


def test_the_development_database_is_audited_where_it_is_named(url: Url, tmp_path: Path) -> None:
    """Even if DATABASE_URL says something else."""
    assert cannot_audit(audit(url("app_api"), "--data-dir", str(tmp_path)), f"no database runs in {tmp_path}")


def test_the_address_may_stand_in_a_file_as_for_the_api(url: Url, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL={url('app_api').replace('postgresql:', 'postgresql+asyncpg:')}\n")
    assert audit(None, cwd=tmp_path).returncode == 0


# ---- the formats -------------------------------------------------------------------------------------


@pytest.fixture
def two_mistakes(dba: psycopg.Connection) -> None:
    """An error and a warning, and what no release made."""
    dba.execute(DISABLED)
    dba.execute("grant select on app.tasks to public")


@pytest.mark.usefixtures("two_mistakes")
def test_people_get_a_table_with_the_sql_that_fixes_it(url: Url) -> None:
    lines = audit(url("app_auditor")).stdout.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith(("LEVEL", "error", "warning"))] == [
        ["LEVEL", "CHECK", "OBJECT"],
        ["error", "changed", "table"],
        ["error", "rls_disabled", "app.tasks"],
        ["error", "unexpected", "right"],
        ["warning", "auditor_reads_tenants", "app.tasks"],
        ["warning", "grant_to_public", "app.tasks:"],
    ]
    assert "alter table app.tasks enable row level security;" in [line.strip() for line in lines]
    assert lines[-1] == f"{len(CHECKS)} checks: 3 errors, 2 warnings"


@pytest.mark.usefixtures("two_mistakes")
def test_programs_get_json_with_the_same_rows_as_psql(url: Url, dba: psycopg.Connection) -> None:
    document = json.loads(audit(url("app_auditor"), "--format", "json").stdout)
    cursor = dba.execute("select * from audit.findings")
    assert cursor.description
    names = [column.name for column in cursor.description]
    assert document == {"findings": [dict(zip(names, row, strict=True)) for row in cursor], "attempts": []}


@pytest.mark.usefixtures("two_mistakes")
def test_code_scanning_gets_sarif(url: Url) -> None:
    document = json.loads(audit(url("app_auditor"), "--format", "sarif").stdout)
    assert document["version"] == "2.1.0"
    [run] = document["runs"]
    rules = {rule["id"]: rule["fullDescription"]["text"] for rule in run["tool"]["driver"]["rules"]}
    assert rules.keys() == {*CHECKS, "prove", "prove_left", "prove_seed", "prove_untried"}
    assert all(rules.values())
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [
        ("changed", "error"),
        ("rls_disabled", "error"),
        ("unexpected", "error"),
        ("auditor_reads_tenants", "warning"),
        ("grant_to_public", "warning"),
    ]
    for result in run["results"]:
        [location] = result["locations"]
        assert (ROOT / location["physicalLocation"]["artifactLocation"]["uri"]).is_file()
        assert location["logicalLocations"][0]["fullyQualifiedName"] in result["message"]["text"]
    assert len({result["partialFingerprints"]["key/v1"] for result in run["results"]}) == 5


def test_without_findings_each_format_is_still_a_document(url: Url) -> None:
    assert json.loads(audit(url("app_api"), "--format", "json").stdout) == {"findings": [], "attempts": []}
    assert json.loads(audit(url("app_api"), "--format", "sarif").stdout)["runs"][0]["results"] == []


# ---- the proof ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["app_api", "postgres"])
def test_the_proof_tries_each_command_across_tenants_and_without_a_caller(role: str, url: Url) -> None:
    answer = audit(url(role), "--prove")
    assert answer.returncode == 0
    lines = [" ".join(line.split()) for line in answer.stdout.splitlines()]
    tried = [line.removeprefix("ok app.tasks ") for line in lines if line.startswith("ok app.tasks ")]
    for command in ("read", "lock", "update", "delete", "merge into", "insert"):
        assert any(attempt.startswith(command) for attempt in tried), command
    for command in ("read", "update", "delete", "merge", "insert"):
        assert any(attempt.startswith(f"{command} without a caller") for attempt in tried), command
    for command in ("read", "update", "delete", "merge"):
        assert any(attempt.startswith(f"{command} without a condition") for attempt in tried), command
    attempts = sum(line.startswith("ok ") for line in lines)
    assert answer.stdout.endswith(f"{len(CHECKS)} checks, {attempts} attempts: no findings\n")


def test_the_proof_prints_who_may_do_what_in_a_workspace(url: Url) -> None:
    lines = [" ".join(line.split()) for line in audit(url("app_api"), "--prove").stdout.splitlines()]
    assert f"app.workspace_tasks insert allowed allowed {' '.join(['blocked'] * 8)}" in lines
    assert not any("!" in line for line in lines if line.startswith("app."))


def test_the_proof_leaves_nothing_behind(url: Url, dba: psycopg.Connection) -> None:
    dba.execute("insert into app.tasks (user_id, text) values ('alice', 'hers')")
    dba.execute(DISABLED)
    dba.execute("grant truncate, insert, update on app.tasks to app_api")

    answer = audit(url("app_api"), "--prove")

    assert answer.returncode == 1
    lines = [" ".join(line.split()) for line in answer.stdout.splitlines()]
    for attempt in ("truncate", "move a row to another tenant"):
        assert any(line.startswith(f"FAILED app.tasks {attempt}") for line in lines), attempt
    assert dba.execute("select user_id, text from app.tasks").fetchall() == [("alice", "hers")]


def test_the_proof_of_the_api_itself_finds_what_its_login_brings(url: Url, dba: psycopg.Connection) -> None:
    dba.execute(f"alter role app_api in database {dba.info.dbname} set app.user_id = 'alice'".encode())
    lines = [" ".join(line.split()) for line in audit(url("app_api"), "--prove").stdout.splitlines()]
    assert "FAILED session start with a caller the caller is alice" in lines


def test_the_proof_needs_a_login_that_is_the_api_or_may_become_it(url: Url) -> None:
    assert cannot_audit(audit(url("app_auditor"), "--prove"), 'permission denied to set role "app_api"')


PROTECTED = """
    alter table scratch.notes owner to app_owner;
    alter table scratch.notes enable row level security, force row level security;
    create policy own on scratch.notes to app_api
    using (user_id = app.current_user_id()) with check (user_id = app.current_user_id());
    grant select, delete, insert (body), update (body) on scratch.notes to app_api;
"""
NOTES = """
    create schema scratch authorization app_owner;
    grant usage on schema scratch to app_api;
    create table scratch.notes (
        user_id text default app.current_user_id(), id uuid default gen_random_uuid(), body {},
        primary key (user_id, id)
    );
"""


def beside_the_table(answer: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    """Return the findings, but not that no release made the table, or edited the audit."""
    return [found for found in json.loads(answer.stdout)["findings"] if found["name"] not in SURFACE]


SEALED = "text not null check (md5(body) = md5('a' || 'b'))"


def test_a_table_that_cannot_be_seeded_is_a_finding_that_says_what_to_do(url: Url, dba: psycopg.Connection) -> None:
    dba.execute(NOTES.format(SEALED) + PROTECTED)
    answer = audit(url("app_api"), "--prove", "--format", "json")
    assert answer.returncode == 1
    [finding] = beside_the_table(answer)
    assert (finding["name"], finding["level"], finding["object"]) == ("prove_seed", "warning", "scratch.notes")
    [line] = re.findall(r"db/audit/schema/examples.sql, .*: (\(.*\))$", finding["remediation"])
    values = re.sub(r'"body": "[^"]*"', '"body": "ab"', line)
    dba.execute(EXAMPLES.read_text().replace("(values\n", f"(values {values},\n").encode())
    assert beside_the_table(audit(url("app_api"), "--prove", "--format", "json")) == []


# ---- acceptance --------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the program, whose list of accepted findings may be changed."""
    for name in ("api", "db", "migrations"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    return tmp_path


def in_tree(tree: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command of a copy of the tree."""
    command = [sys.executable, "-c", "from api.commands.main import main; main()", "audit", *arguments]
    environment = os.environ | {"DATABASE_URL": url, "PYTHONPATH": str(tree)}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def test_findings_are_accepted_with_a_reason_until_they_change(tree: Path, url: Url, dba: psycopg.Connection) -> None:
    """Also those of the proof."""
    dba.execute(NOTES.format(SEALED) + PROTECTED)
    found = json.loads(in_tree(tree, url("app_api"), "--prove", "--format", "json").stdout)["findings"]
    keys = [f"--accept={each['key']}" for each in found]
    assert {"prove_seed:scratch.notes", "unexpected:table scratch.notes"} < {each["key"] for each in found}

    answer = in_tree(tree, url("app_api"), "--prove", *keys, "--because", "It's for a test.")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert str(tree) in answer.stdout
    assert (tree / "db/audit/schema/accepted.sql").read_text().count("'It''s for a test.'") == len(keys)
    alembic(url("app_migrator"), "upgrade", "head", tree=tree)
    answer = in_tree(tree, url("app_api"), "--prove")
    assert (answer.returncode, answer.stderr) == (0, "")

    dba.execute("alter policy own on scratch.notes using (true)")
    again = json.loads(in_tree(tree, url("app_api"), "--format", "json").stdout)["findings"]
    assert "unexpected:policy scratch.notes.own" in {each["key"] for each in again}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--accept", "rls_disabled:app.tasks"], "--because REASON belong together"),
        (["--because", "why not"], "--because REASON belong together"),
        (["--accept", "rls_disabled:app.tasks", "--because", " "], "--because REASON belong together"),
        (["--accept", "rls:tasks", "--because", "so"], "cannot accept rls:tasks: not a finding. The findings are:\n"),
    ],
)
def test_an_acceptance_without_a_reason_or_a_finding_is_refused(
    url: Url, dba: psycopg.Connection, arguments: list[str], reason: str
) -> None:
    dba.execute(DISABLED)
    before = ACCEPTED.read_text()
    answer = audit(url("app_api"), *arguments)
    assert answer.returncode == 2
    assert reason in answer.stderr
    assert ACCEPTED.read_text() == before
