"""What docs/pipeline.md shows was run: its commands run again, and must print and return what the page says."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import httpx2
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from api.settings import Settings
from tests.support.database import PASSWORD, ROOT
from tests.support.servers import serving
from tests.support.shell import environment, run, shows
from tests.support.tokens import JWT_SECRET

TEXT = (ROOT / "docs/pipeline.md").read_text()
DATABASE = "db.example.com/partywall?sslmode=verify-full"  # of every URL on the page
CONSOLE = re.compile(r"```console\n(.*?)```\n", re.DOTALL)
COMMAND = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)  # and what it prints
SCRIPT = re.compile(r"```sh\n(.*?)```\n", re.DOTALL)
JOB = re.compile(r"```yaml\n(.*?)```\n", re.DOTALL)
STEP = re.compile(r"- run: (.+)\n +env:\n +PGPASSWORD: \$\{\{ secrets\.(\w+) \}\}")
HEALTH = re.compile(r"^(?:200|503) \{.*\n(?: .*\n)*", re.MULTILINE)

Environment = Mapping[str, str]


def of_an_administrator(info: psycopg.ConnectionInfo, dbname: str) -> Environment:
    """Return the environment in which an administrator and a pipeline work on this database."""
    return environment() | {
        "PGOPTIONS": "-c client_min_messages=warning",  # read by psql only: the roles are there already
        "ADMIN_DATABASE_URL": make_conninfo(info.dsn, dbname=dbname, password=info.password),
        "APP_API_PASSWORD": PASSWORD,
        "APP_AUDITOR_PASSWORD": PASSWORD,
        "APP_MIGRATOR_PASSWORD": PASSWORD,
        "DATABASE": f"/{dbname}?host={quote(info.host, safe='')}&port={info.port}",
    }


@pytest.fixture
def empty(admin: psycopg.Connection) -> Iterator[Environment]:
    """Return the environment of a new database."""
    admin.autocommit = True
    name = f"{admin.info.dbname}_empty"
    admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield of_an_administrator(admin.info, name)
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def pipeline(admin: psycopg.Connection) -> Environment:
    """Return the environment of a migrated database."""
    return of_an_administrator(admin.info, admin.info.dbname)


def test_the_commands_of_the_page_print_what_it_shows(empty: Environment) -> None:
    shown = [pair for block in CONSOLE.findall(TEXT) for pair in COMMAND.findall(block)]
    assert len(shown) > 10
    commands = [command.replace(DATABASE, empty["DATABASE"]) for command, _ in shown]
    following = [command for command, _ in shown[1:]] + [""]
    for (command, expected), (output, status), next_one in zip(
        shown, run(commands, empty, ROOT), following, strict=True
    ):
        assert shows(expected, output), f"$ {command}\n{output}"
        assert (status != 0) == (next_one == "echo $?"), f"$ {command}\nexit code {status}"


def test_the_three_steps_pass_on_a_safe_database_and_stop_on_one_that_is_not(
    pipeline: Environment, admin: psycopg.Connection
) -> None:
    [script] = SCRIPT.findall(TEXT)
    script = "(\n" + script.replace(DATABASE, pipeline["DATABASE"]) + "echo rolling out\n)"
    [(output, status)] = run([script], pipeline, ROOT)
    assert (output.splitlines()[-1], status) == ("rolling out", 0)

    admin.execute("alter table app.tasks no force row level security")
    admin.commit()
    [(output, status)] = run([script], pipeline, ROOT)
    assert "rls_not_forced" in output
    assert "rolling out" not in output
    assert status == 1


def test_the_steps_of_the_job_run(pipeline: Environment, tmp_path: Path) -> None:
    [job] = JOB.findall(TEXT.replace(DATABASE, pipeline["DATABASE"]))
    urls = dict(re.findall(r"^ +(\w*DATABASE_URL): (.+)$", job, re.MULTILINE))
    exports = [f"export {name}='{value}'" for name, value in urls.items()]
    steps = [f"(export PGPASSWORD=${password}; {command})" for command, password in STEP.findall(job)]
    assert (len(exports), len(steps)) == (2, 2)
    file = tmp_path / "audit.sarif"
    results = run([*exports, *(step.replace(file.name, str(file)) for step in steps)], pipeline, ROOT)
    assert [status for _, status in results] == [0, 0, 0, 0]
    assert '"version": "2.1.0"' in file.read_text()


def test_the_health_checks_respond_as_the_page_shows(settings: Settings, admin: psycopg.Connection) -> None:
    nowhere = Settings(_env_file=None, database_url="postgresql:///x?host=/nowhere", jwt_secret=JWT_SECRET)
    actual = [health(settings), health(nowhere)]
    admin.execute("alter table app.tasks disable row level security")
    admin.commit()
    actual.append(health(settings))
    shown = HEALTH.findall(TEXT)
    assert len(shown) == len(actual)
    for line, found in zip(shown, actual, strict=True):
        assert shows(line, found), found


def health(settings: Settings) -> str:
    with serving(settings) as address:
        response = httpx2.get(f"{address}/health")
        return f"{response.status_code} {response.text}\n"
