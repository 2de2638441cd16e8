"""`partywall dev`, `token` and `psql`, run as a person runs them."""

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from db.embedded import Cluster, binary
from tests.support.database import ROOT, Url
from tests.support.tokens import JWT_SECRET, bearer

pytestmark = pytest.mark.slow("the development server")

PARTYWALL = str(Path(sys.executable).with_name("partywall"))
COMMAND = (PARTYWALL, "dev", "--port", "0")


def partywall(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [PARTYWALL, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Dev:
    """A `partywall dev` on a free port that has said how to call it."""

    def __init__(
        self, cwd: Path, command: Sequence[str] = (PARTYWALL, "dev", "--port", "0"), **environment: str
    ) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        for line in self.process.stdout or ():
            self.output += line
            if line.startswith("curl"):
                break
        else:
            raise AssertionError(self.output)
        # curl -s URL -H 'name: value' -H 'name: value' -d BODY
        _, _, self.url, _, authorization, _, content_type, _, self.body = shlex.split(line)
        self.headers = dict(header.split(": ") for header in (authorization, content_type))

    def call_as_printed(self) -> httpx2.Response:
        """Send what the printed curl line sends."""
        return httpx2.post(self.url, headers=self.headers, content=self.body)

    def read_until(self, text: str) -> str:
        """Return the next line that has `text` in it."""
        for line in self.process.stdout or ():
            self.output += line
            if text in line:
                return line
        raise AssertionError(self.output)

    def end(self, how: signal.Signals) -> int:
        """Send a signal; return the exit code."""
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=60)
        self.output += rest
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    """Start development servers in a directory of their own; leave nothing running."""
    started: list[Dev] = []

    def start_one(cwd: Path = tmp_path, **more: Any) -> Dev:
        started.append(Dev(cwd, **more))
        return started[-1]

    yield start_one
    for dev in started:
        if dev.process.poll() is None:
            dev.end(signal.SIGTERM)
    if (cluster := Cluster(tmp_path / ".data")).is_running:
        cluster.stop()


Start = Callable[..., Dev]


def test_the_printed_call_adds_a_task_that_only_alice_sees(start: Start, tmp_path: Path) -> None:
    dev = start()

    assert dev.call_as_printed().status_code == 201

    token = partywall("token", "bob", cwd=tmp_path)
    assert token.stdout.count("\n") == 1
    assert httpx2.get(dev.url, headers=dev.headers).json()["items"][0]["user_id"] == "alice"
    assert httpx2.get(dev.url, headers=bearer(token.stdout.strip())).json()["items"] == []


def test_a_replica_serves_reads_after_a_restart_too_and_is_made_anew_if_it_cannot_follow(
    start: Start, tmp_path: Path
) -> None:
    with_replica = (*COMMAND, "--replica")

    def read_where(dev: Dev) -> str:
        httpx2.get(dev.url, headers=dev.headers)
        return dev.read_until("200 GET /tasks").split()[4]

    def wait_for_replica(dev: Dev) -> None:
        while read_where(dev) != "replica":
            time.sleep(0.1)

    dev = start(command=with_replica)
    assert "copying the cluster" in dev.output
    assert dev.call_as_printed().status_code == 201
    wait_for_replica(dev)
    assert dev.end(signal.SIGTERM) == 0
    assert not Cluster(tmp_path / ".data").is_running
    assert not Cluster(tmp_path / ".data/replica").is_running

    dev = start(command=with_replica)
    assert "copying" not in dev.output
    wait_for_replica(dev)
    dev.end(signal.SIGINT)

    shutil.rmtree(tmp_path / ".data/postgres")
    dev = start(command=with_replica)
    assert "the replica cannot follow any more: making it anew" in dev.output
    wait_for_replica(dev)
    assert httpx2.get(dev.url, headers=dev.headers).json()["items"] == []


def test_a_replica_of_a_given_database_is_not_started(tmp_path: Path, url: Url) -> None:
    response = partywall("dev", "--replica", cwd=tmp_path, DATABASE_URL=url("app_api"))
    assert response.returncode == 2
    assert "set DATABASE_REPLICA_URL" in response.stderr


def test_psql_opens_the_database_as_each_role(start: Start, tmp_path: Path) -> None:
    dev = start()
    dev.call_as_printed()

    def ask(role: str) -> str:
        query = "select current_user, count(*) from app.tasks group by 1"
        response = partywall("psql", "--role", role, "--", "--no-align", "--tuples-only", "-c", query, cwd=tmp_path)
        return response.stdout.strip() or response.stderr.strip()

    assert ask("postgres") == "postgres|1"
    assert ask("app_api") == ""
    assert ask("app_owner") == ""
    assert "permission denied for schema app" in ask("app_auditor")
    who = partywall("psql", "--role", "app_owner", "--", "-Atc", "select current_user", cwd=tmp_path)
    assert who.stdout.strip() == "app_owner"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_being_asked_to_stop_stops_the_database_too(start: Start, tmp_path: Path, how: signal.Signals) -> None:
    dev = start()
    assert Cluster(tmp_path / ".data").is_running

    assert dev.end(how) == 0

    assert not Cluster(tmp_path / ".data").is_running
    assert dev.output.endswith("partywall: stopped\n")
    psql = partywall("psql", cwd=tmp_path)
    assert psql.returncode == 1
    assert "no database runs in .data" in psql.stderr


def test_closing_the_terminal_stops_the_database_too(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        COMMAND,
        cwd=tmp_path,
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no thread runs here
    )
    os.close(end)
    output = b""
    while b'"Buy milk"' not in output:
        output += os.read(terminal, 65_536)
    [url] = re.findall(rb"curl -s (http://[^/]+)", output)
    httpx2.get(f"{url.decode()}/nowhere")
    while b"404 GET" not in output:
        output += os.read(terminal, 65_536)
    assert b"\x1b[33m404 GET -\x1b[0m" in output

    os.close(terminal)
    process.wait(timeout=30)

    assert not Cluster(tmp_path / ".data").is_running


def test_ctrl_c_twice_stops_the_database_too(start: Start, tmp_path: Path) -> None:
    dev = start()
    dev.process.send_signal(signal.SIGINT)
    dev.read_until("stopping PostgreSQL")

    assert dev.end(signal.SIGINT) == 0
    assert not Cluster(tmp_path / ".data").is_running


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the code, which can be changed."""
    checkout = tmp_path / "check out"
    for name in ("api", "db", "migrations"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", checkout)
    return checkout


def test_a_change_of_the_code_is_served_by_the_same_database_and_what_is_printed_can_be_pasted(
    start: Start, checkout: Path
) -> None:
    def paste(line: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-c", line], cwd=checkout, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()

    data = "Alice's data"
    dev = start(checkout, command=(sys.executable, "-m", "api", "dev", "--port", "0", "--data-dir", data))
    task = json.loads(paste(dev.output.splitlines()[-1]))
    [another] = re.findall(r"another: (.+)\)$", dev.output, re.MULTILINE)
    assert httpx2.get(dev.url, headers=bearer(paste(another))).json()["items"] == []

    models = checkout / "api/tasks/models.py"
    models.write_text(models.read_text() + "\n")
    dev.read_until("Reloading")
    dev.read_until("Application startup complete")
    assert httpx2.get(dev.url, headers=dev.headers).json()["items"] == [task]
    assert dev.read_until("200 GET /tasks")[0].isdigit()  # the time of day, and no JSON
    assert dev.output.count("curl") == 1
    assert "\x1b" not in dev.output

    dev.process.send_signal(signal.SIGTERM)
    dev.process.communicate(timeout=60)
    [again] = re.findall(r"start it with (.+)$", _error(checkout, data), re.MULTILINE)
    assert shlex.split(again)[1:] == ["-m", "api", "dev", "--data-dir", data]


def _error(checkout: Path, data: str) -> str:
    command = [sys.executable, "-m", "api", "psql", "--data-dir", data]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False).stderr


def test_after_a_kill_the_next_start_recovers_what_was_committed(start: Start, tmp_path: Path) -> None:
    first = start()
    task = first.call_as_printed().json()
    first.end(signal.SIGKILL)  # and the API ends, which has the same output

    second = start()
    assert "still runs" in second.output
    postmaster = int((tmp_path / ".data/postgres/postmaster.pid").read_text().split()[0])
    second.end(signal.SIGKILL)
    os.kill(postmaster, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        for _ in range(100):  # a kill is not instantaneous
            os.kill(postmaster, 0)
            time.sleep(0.1)

    third = start()
    assert httpx2.get(third.url, headers=third.headers).json()["items"] == [task]
    assert "creating" not in third.output


def test_a_start_that_was_killed_while_creating_the_cluster_does_not_matter(start: Start, tmp_path: Path) -> None:
    (tmp_path / ".data/postgres.new").mkdir(parents=True)
    (tmp_path / ".data/postgres.new/PG_VERSION").write_text("half a cluster")
    assert start().call_as_printed().status_code == 201


def test_a_second_one_on_the_same_directory_says_so_and_stops(start: Start, tmp_path: Path) -> None:
    dev = start()
    second = partywall("dev", "--port", "0", cwd=tmp_path)
    assert second.returncode == 1
    assert "another partywall dev runs on .data" in second.stderr
    [beside] = re.findall(r"beside it: (.+)$", second.stderr, re.MULTILINE)
    assert shlex.split(beside)[1:] == ["dev", "--port", "0", "--data-dir", ".data-2"]
    assert dev.call_as_printed().status_code == 201


def test_a_port_that_is_taken_is_named_before_anything_starts(start: Start, tmp_path: Path) -> None:
    port = httpx2.URL(start().url).port
    second = partywall("dev", "--port", str(port), "--data-dir", "other", cwd=tmp_path)
    assert second.returncode == 1
    assert f"port {port}: Address already in use" in second.stderr
    [free] = re.findall(r"use a free one: (.+)$", second.stderr, re.MULTILINE)
    assert shlex.split(free)[1:] == ["dev", "--port", "0", "--data-dir", "other"]
    assert not (tmp_path / "other/postgres").exists()


def test_with_a_database_url_nothing_embedded_starts(start: Start, tmp_path: Path, url: Url) -> None:
    dev = start(DATABASE_URL=url("app_api"), MIGRATION_DATABASE_URL=url("app_migrator"), JWT_SECRET=JWT_SECRET)
    task = dev.call_as_printed().json()
    with psycopg.connect(url("postgres")) as admin:
        assert admin.execute("select id::text from app.tasks").fetchall() == [(task["id"],)]
    assert not (tmp_path / ".data/postgres").exists()


def test_migrations_that_fail_stop_the_start(tmp_path: Path, url: Url) -> None:
    response = partywall(
        "dev", "--port", "0", cwd=tmp_path, DATABASE_URL=url("app_api"), MIGRATION_DATABASE_URL=url("app_api")
    )
    assert response.returncode == 1
    assert "the migrations failed: see above" in response.stderr


def test_a_directory_with_a_long_or_strange_name_will_do(tmp_path: Path) -> None:
    for name in ("x" * 100, """it's a "strange", $HOME; name%20"""):
        cluster = Cluster(tmp_path / name)
        cluster.create()
        cluster.start("fsync=off")
        try:
            with psycopg.connect(cluster.url("postgres", "postgres")) as connection:
                assert connection.execute("select 1").fetchone() == (1,)
        finally:
            cluster.stop()


def test_programs_that_only_root_can_reach_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout below /root, say: PostgreSQL does not run as root, and its programs are in the checkout."""
    (tmp_path / "bin").symlink_to(Path(binary("postgres")).parent)
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PG_BIN", str(tmp_path / "bin"))
    cluster = Cluster(tmp_path)
    cluster.create()
    cluster.start("fsync=off")
    assert cluster.is_running
    cluster.stop()


def test_the_secret_is_readable_by_its_owner_only_and_the_environment_wins_over_it(tmp_path: Path) -> None:
    partywall("token", "alice", cwd=tmp_path)
    secret = tmp_path / ".data/jwt-secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    generated = partywall("token", "alice", cwd=tmp_path).stdout
    given = partywall("token", "alice", cwd=tmp_path, JWT_SECRET=JWT_SECRET).stdout
    assert generated.rpartition(".")[2] != given.rpartition(".")[2]


@pytest.mark.parametrize("subject", ["", "a" * 256, "two\nlines"])
def test_a_subject_that_nobody_can_have_gets_no_token(tmp_path: Path, subject: str) -> None:
    response = partywall("token", subject, cwd=tmp_path)
    assert response.returncode == 2
    assert response.stdout == ""


def test_a_directory_whose_schema_other_migrations_made_is_left_alone(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / ".data")
    cluster.create()
    cluster.start("fsync=off")
    cluster.prepare()
    with psycopg.connect(cluster.url("postgres")) as admin:
        admin.execute("create schema migrations authorization app_owner")
        admin.execute("set role app_owner")
        admin.execute("create table migrations.alembic_version as select '0002' as version_num")

    response = partywall("dev", "--port", "0", cwd=tmp_path)

    assert response.returncode == 1
    assert response.stderr == (
        "Error: the schema (revision 0002) was made by another program, or by migrations that were rewritten since:"
        f" delete .data, or leave it and use another: {PARTYWALL} dev --data-dir .data-2\n"
    )
    assert not cluster.is_running
