"""What docs/pipeline.md shows was run: its commands run again, and must print and return what the page says."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx2
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from api.http.middleware import BODY_SECONDS, MAX_BODY_BYTES
from api.http.server import Protocol
from api.settings import Settings
from db.embedded import ROLES
from tests.support.database import PASSWORD, ROOT
from tests.support.servers import serving
from tests.support.shell import environment, run, shows
from tests.support.tokens import bearer, make_token
from tests.support.waiting import eventually

TEXT = (ROOT / "docs/pipeline.md").read_text()
DATABASE = "db.example.com/partywall?sslmode=verify-full"  # of every URL on the page
CONSOLE = re.compile(r"```console\n(.*?)```\n", re.DOTALL)
COMMAND = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)  # and what it prints
SCRIPT = re.compile(r"```sh\n(.*?)```\n", re.DOTALL)
JOB = re.compile(r"```yaml\n(.*?)```\n", re.DOTALL)
STEP = re.compile(r"- run: (.+)\n +env:\n +PGPASSWORD: \$\{\{ secrets\.(\w+) \}\}")
PROXY = re.compile(r"```haproxy\n(.*?)```\n", re.DOTALL)
LIMIT = re.compile(r"\| (\d+)(?: (KiB|seconds))? \|")
NOTICE = re.compile(r"```\n(NOTICE: .+\n)```\n")

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


def test_an_administrator_who_may_not_revoke_is_told_so_as_the_page_shows(empty: Environment) -> None:
    url = make_conninfo(empty["ADMIN_DATABASE_URL"], user="app_migrator", password=PASSWORD, options="")
    notices: list[str] = []
    _, _, revokes = ROLES.read_text().rpartition("do $$")
    with psycopg.connect(url) as connection:
        connection.add_notice_handler(lambda notice: notices.append(f"NOTICE:  {notice.message_primary}\n"))
        connection.execute(f"do $${revokes}".encode())
    assert notices == NOTICE.findall(TEXT)


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


def test_the_page_has_the_limits_of_the_server() -> None:
    table = TEXT.partition("### Limits\n")[2].partition("Each refusal")[0]

    assert [int(number) for number, _ in LIMIT.findall(table)] == [
        Protocol.max_head_bytes // 1024,
        Protocol.max_headers,
        Protocol.head_seconds,
        MAX_BODY_BYTES // 1024,
        BODY_SECONDS,
        Protocol.max_pipelined,
        Protocol.unread_seconds,
    ]
    assert Protocol.body_seconds > BODY_SECONDS


@pytest.mark.slow("HAProxy")
def test_the_proxy_of_the_page_bounds_the_connections_of_an_address(settings: Settings, tmp_path: Path) -> None:
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("HAProxy is not installed: apt-get install haproxy")
    [configuration] = PROXY.findall(TEXT)
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    with serving(settings) as address:
        text = configuration.replace(":8080", f"127.0.0.1:{port}").replace("127.0.0.1:8000", urlsplit(address).netloc)
        (tmp_path / "haproxy.cfg").write_text(text)
        with subprocess.Popen([program, "-db", "-q", "-f", tmp_path / "haproxy.cfg"]) as proxy, ExitStack() as stack:
            stack.callback(proxy.terminate)
            eventually(lambda: can_connect(port))
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
                assert client.get("/tasks", headers=bearer(make_token("alice"))).status_code == 200
                assert client.get("/metrics").status_code == 404
            slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(50)]
            for connection in slow:
                connection.sendall(b"GET /health/live HTTP/1.1\r\n")
            eventually(lambda: not can_connect(port))
            for connection in slow:
                connection.close()
            eventually(lambda: can_connect(port))


def can_connect(port: int) -> bool:
    """Return whether a request on a new connection gets a response."""
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health/live").status_code == 200
    except httpx2.TransportError:
        return False
