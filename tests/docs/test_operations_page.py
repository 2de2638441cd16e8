"""What docs/operations.md shows was run: its sessions, commands and responses are the same again."""

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psycopg
import pytest
from psycopg import sql

from api.settings import Settings
from tests.support.database import ROOT, Url
from tests.support.faults import replica_of, under_load
from tests.support.psql_sessions import TASKS, replay
from tests.support.servers import AccessLog, caller, serving, uvicorn_printing_to
from tests.support.shell import environment, run, shows
from tests.support.tasks import add
from tests.support.tokens import JWT_SECRET
from tests.support.waiting import eventually, held, wait_for

TEXT = (ROOT / "docs/operations.md").read_text()
SESSION = re.compile(r"<!-- ([^:\n]+): psql as (\w+) -->\n```\n(partywall=.*?)```\n", re.DOTALL)
VARIABLE = re.compile(r"\b\d{4,}\b|\d\d:\d\d:\d\d\.\d+|-{3,}")  # ids of processes, times, and the width of both
CONSOLE = re.compile(r"```console\n(.*?)```\n", re.DOTALL)
COMMAND = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)  # and what it prints
WHOSE = re.compile(r"<!-- whose -->\n```sql\n(.*?)```\n", re.DOTALL)
TRACED = re.compile(r"<!-- traced -->\n```\n(.*?)```\n", re.DOTALL)
HEALTH = re.compile(r"^(?:200|503) \{.*\n(?: .*\n)*", re.MULTILINE)
INCIDENTS = [
    "The database is down",
    "The pool is full",
    "Not ready after a release",
    "Requests are slow",
    "A lock is held",
    "The keys cannot be fetched",
    "The replica is behind",
    "The disk is full",
]

needs_the_embedded_server = pytest.mark.skipif(
    "TEST_DATABASE_URL" in os.environ, reason="that server has other logins, and may not be one that can be copied"
)


def sessions(when: str) -> list[tuple[str, str]]:
    """Return the sessions of the page in this situation, each with the role that it is of."""
    found = [(role, session) for situation, role, session in SESSION.findall(TEXT) if situation == when]
    assert found
    return found


def assert_goes_as_shown(session: str, actual: str) -> None:
    assert shows(VARIABLE.sub("0", session), VARIABLE.sub("0", actual)), actual


def test_the_incidents_have_the_headings_that_the_alerts_link_to() -> None:
    section = TEXT.partition("\n## The incidents\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (.+)$", section, re.MULTILINE) == INCIDENTS


@pytest.fixture
def oncall(admin: psycopg.Connection) -> Iterator[None]:
    """The login of whoever is called."""
    [statement] = re.findall(r"^ {4}(create role oncall .+;)", TEXT, re.MULTILINE)
    admin.execute(statement)
    admin.commit()
    yield
    admin.execute("drop role oncall")
    admin.commit()


@needs_the_embedded_server
@pytest.mark.usefixtures("oncall")
def test_whoever_is_called_sees_who_blocks_and_ends_that_session(
    admin: psycopg.Connection, url: Url, alice: httpx2.Client, bob: httpx2.Client
) -> None:
    shown = sessions("a lock is held")
    with ThreadPoolExecutor(2) as threads, psycopg.connect(url("oncall"), autocommit=True) as oncall:
        forgotten = psycopg.connect(url("app_migrator"), options="-c role=app_owner")
        forgotten.execute("lock table app.tasks")
        waiting = [threads.submit(client.get, "/tasks") for client in (alice, bob)]
        wait_for(admin, 2)
        actual = [replay(session, role, url) for role, session in shown]
        oncall.execute("select pg_terminate_backend(%s)", [forgotten.info.backend_pid])
        assert {future.result().status_code for future in waiting} == {200}
        forgotten.close()

        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            oncall.execute("select * from app.tasks")
    assert admin.execute("select * from audit.findings").fetchall() == []
    for (_, session), found in zip(shown, actual, strict=True):
        assert_goes_as_shown(session, found)


@needs_the_embedded_server
def test_how_far_a_replica_is_behind_is_seen_as_the_page_shows(admin: psycopg.Connection, url: Url) -> None:
    with replica_of(url("postgres")) as replica:
        urls = {"primary": url("postgres"), "replica": replica.url("postgres", admin.info.dbname)}
        with psycopg.connect(urls["replica"], autocommit=True) as standby:
            standby.execute("select pg_wal_replay_pause()")
            admin.execute("insert into app.tasks (user_id, text) values ('alice', 'Buy milk')")
            admin.commit()
            paused = "select pg_get_wal_replay_pause_state()"
            eventually(lambda: standby.execute(paused).fetchone() == ("paused",))
            behind = "select sent_lsn = pg_current_wal_lsn() and sent_lsn > replay_lsn from pg_stat_replication"
            eventually(lambda: admin.execute(behind).fetchone() == (True,))
            admin.rollback()
            for role, session in sessions("the replica is behind"):
                assert_goes_as_shown(session, replay(session, role, urls.__getitem__))
            standby.execute("select pg_wal_replay_resume()")


@needs_the_embedded_server
def test_two_workers_under_load_have_as_many_connections_as_the_formula_says(
    admin: psycopg.Connection, url: Url, tmp_path: Path
) -> None:
    [(role, session)] = sessions("two workers under load")
    users = (f"user {number}" for number in itertools.count())
    count = "select count(*) from pg_stat_activity where usename = 'app_api'"
    with uvicorn_printing_to(tmp_path / "log", url("app_api"), workers=2, DATABASE_POOL_SIZE="5") as address:

        def connect() -> httpx2.Client:
            return caller(address, next(users))

        def list_tasks(client: httpx2.Client) -> list[httpx2.Response]:
            return [client.get("/tasks", headers={"Connection": "close"}, timeout=30)]

        with under_load(24, list_tasks, connect), held(admin, "lock table app.tasks"):
            with psycopg.connect(url("postgres"), autocommit=True) as observer:
                eventually(lambda: observer.execute(count).fetchone() == (2 * (5 + 2),))
            actual = replay(session, role, url)
    assert_goes_as_shown(session, actual)


# ---- backups -----------------------------------------------------------------------------------------


@pytest.fixture
def backups(admin: psycopg.Connection, url: Url, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Return the environment of the commands; the database that is restored is new and empty."""
    admin.execute(TASKS)
    admin.commit()
    admin.autocommit = True
    name = f"{admin.info.dbname}_restored"
    admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    def of(role: str, database: str = admin.info.dbname) -> str:
        return url(role).replace(f"/{admin.info.dbname}?", f"/{database}?")

    yield environment() | {
        "PGOPTIONS": "-c client_min_messages=warning",  # the roles are there already
        "ADMIN_DATABASE_URL": of("postgres"),
        "DATABASE_URL": of("app_api"),
        "BACKUP_DATABASE_URL": of("backup"),
        "MIGRATION_DATABASE_URL": of("app_migrator"),
        "RESTORED_DATABASE_URL": of("postgres", name),
        "RESTORED_MIGRATION_URL": of("app_migrator", name),
        "RESTORED_API_URL": of("app_api", name),
        "DUMP": str(tmp_path / "partywall.dump"),
    }
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
    admin.execute("drop owned by backup; drop role backup")


@needs_the_embedded_server
def test_a_backup_is_restored_and_audited_as_the_page_shows(backups: Mapping[str, str]) -> None:
    shown = [pair for block in CONSOLE.findall(TEXT) for pair in COMMAND.findall(block)]
    commands = [command.replace("partywall.dump", "$DUMP") for command, _ in shown]
    following = [command for command, _ in shown[1:]] + [""]
    for (command, expected), (output, status), next_one in zip(
        shown, run(commands, backups, ROOT), following, strict=True
    ):
        assert shows(expected, output), f"$ {command}\n{output}"
        assert (status != 0) == (next_one == "echo $?"), f"$ {command}\nexit code {status}"


# ---- health ------------------------------------------------------------------------------------------


def health(settings: Settings) -> str:
    with serving(settings) as address:
        response = httpx2.get(f"{address}/health")
        return f"{response.status_code} {response.text}\n"


def test_the_health_checks_respond_as_the_page_shows(settings: Settings, admin: psycopg.Connection) -> None:
    nowhere = Settings(_env_file=None, database_url="postgresql:///x?host=/nowhere", jwt_secret=JWT_SECRET)
    actual = [health(settings), health(nowhere)]
    admin.execute("alter table app.tasks disable row level security")
    admin.commit()
    actual.append(health(settings))
    shown = HEALTH.findall(TEXT.partition("\n## Health checks\n")[2].partition("\n## Sizing\n")[0])
    for line, found in zip(shown, actual, strict=True):
        assert shows(line, found), found


def test_a_wrong_login_and_an_old_revision_are_told_as_the_page_shows(
    settings: Settings, admin: psycopg.Connection, url: Url
) -> None:
    shown = re.findall(r"<!-- the (login|revision) -->\n```\n(.+\n)```\n", TEXT)
    wrong_login = Settings(_env_file=None, database_url=url("app_migrator"), jwt_secret=JWT_SECRET)
    actual = {"login": health(wrong_login)}
    admin.execute("update migrations.alembic_version set version_num = '0004'")
    admin.commit()
    actual["revision"] = health(settings)
    assert [what for what, _ in shown] == [*actual]
    for what, line in shown:
        assert shows(line, actual[what]), actual[what]


def test_the_image_keeps_idle_connections_for_longer_than_nginx_and_aws_do() -> None:
    [seconds] = re.findall(r'"--timeout-keep-alive", "(\d+)"', (ROOT / "Dockerfile").read_text())
    assert int(seconds) > 60
    assert f"| {seconds}, as in the image |" in TEXT


# ---- whose request it was, and in which trace --------------------------------------------------------


def test_the_database_tells_whose_a_line_of_the_log_is(
    alice: httpx2.Client, admin: psycopg.Connection, access_log: AccessLog
) -> None:
    access_log()
    add(alice)
    alice.get("/health/live")  # that line is written now

    [query] = WHOSE.findall(TEXT)
    assert access_log()[0]["user"] in query
    assert admin.execute(query.encode()).fetchall() == [("alice",)]


@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="it may be older than PostgreSQL 18")
def test_the_database_tells_what_a_request_of_a_trace_waits_for(
    alice: httpx2.Client, admin: psycopg.Connection, url: Url
) -> None:
    [session] = TRACED.findall(TEXT)
    [trace_id] = set(re.findall(r"partywall ([0-9a-f]{32})", session))
    path = f"/tasks/{add(alice)['id']}"
    headers = {"traceparent": f"00-{trace_id}-{'7' * 16}-01"}
    with ThreadPoolExecutor(1) as thread, held(admin, "select from app.tasks for update"):
        response = thread.submit(alice.patch, path, json={"text": "Buy bread"}, headers=headers)
        wait_for(admin, 1)
        shown = replay(session, "postgres", url)
        admin.commit()
        assert response.result().status_code == 200
    assert shows(session, shown), shown
