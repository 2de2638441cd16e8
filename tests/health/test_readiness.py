"""The boot gate: what closes it, what opens it again, and that nobody is served in between."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import quote

import httpx2
import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql

from api.health.readiness import MIGRATIONS, NOT_CHECKED, NOT_READY_INTERVAL, READY_INTERVAL
from db.revision import record
from tests.support.database import PASSWORD, ROOT, Url, alembic
from tests.support.health import HEALTHY, assert_unavailable, list_tasks, wait_for_status
from tests.support.routes import NEEDS_TOKEN, SOME_ID
from tests.support.servers import calling
from tests.support.tokens import bearer, make_token
from tests.support.wire import Wire

ALICE = bearer(make_token("alice", lifetime=3600))
A_LOOK = 5.0  # seconds that one may take on a slow machine
OPENS = NOT_READY_INTERVAL + A_LOOK
CLOSES = READY_INTERVAL + A_LOOK

Dba = Callable[[str], None]


@pytest.fixture
def dba(admin: psycopg.Connection) -> Dba:
    """Whoever changes the database behind the API's back. {} in a statement is the database."""
    admin.rollback()
    admin.autocommit = True
    admin.execute("create temporary table kept as table migrations.alembic_version")

    def run(statement: str) -> None:
        admin.execute(sql.SQL(statement).format(sql.Identifier(admin.info.dbname)))

    return run


@contextmanager
def broken(dba: Dba, breaks: str, mends: str) -> Iterator[Callable[[], None]]:
    """Break something; give what mends it, at the end at the latest: roles are there for every test."""
    dba(breaks)
    with ExitStack() as stack:
        stack.callback(dba, mends)
        yield stack.close


def add_task(client: httpx2.Client) -> httpx2.Response:
    return client.post("/tasks", json={"text": "Buy milk"}, headers=ALICE)


def assert_closed(client: httpx2.Client) -> str:
    """/health is 503 and says why, no tenant is served. Return the reasons."""
    answer = client.get("/health")
    revision, reasons = answer.json()["revision"], answer.json()["reasons"]
    assert_unavailable(answer, database="ok", revision=revision, reasons=reasons)
    assert answer.json()["detail"].startswith("Not ready: ")
    for method, template in NEEDS_TOKEN:
        path = template.format(task_id=SOME_ID)
        body = None if method in {"GET", "DELETE"} else {"text": "Buy milk", "completed": False, "order": 0}
        assert client.request(method, path, json=body).status_code == 401
        refused = client.request(method, path, json=body, headers=ALICE)
        assert_unavailable(refused)
        assert refused.json()["detail"] == "Not ready: the database failed the readiness check. /health says why."
        assert refused.headers["retry-after"] == answer.headers["retry-after"] == "1"
    assert client.get("/health/db").json() == {"database": "ok"}
    assert client.get("/health/live").json() == {"status": "ok"}
    return "\n".join(reasons)


def assert_opens(client: httpx2.Client) -> None:
    assert wait_for_status(lambda: client.get("/health"), 200, OPENS).status_code == 200
    assert list_tasks(client).status_code == 200


# ---- open --------------------------------------------------------------------------------------------


def test_the_right_database_is_open_to_the_first_request(url: Url) -> None:
    with calling(url("app_api")) as client:
        assert add_task(client).status_code == 201
        assert client.get("/health").json() == HEALTHY


def test_the_first_look_is_over_before_the_first_request(url: Url, admin: psycopg.Connection) -> None:
    with calling(url("app_api")):
        sessions = admin.execute("""
            select state, query from pg_stat_activity
            where datname = current_database() and application_name = 'partywall health'
        """).fetchall()
    assert sessions == [("idle", "commit")]


def test_an_open_gate_costs_a_request_no_round_trip(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        with calling(wire.url) as client:
            list_tasks(client)  # connects, and prepares the statement
            before = wire.round_trips
            assert list_tasks(client).status_code == 200
            assert wire.round_trips - before == 3


def test_warnings_do_not_close_it(url: Url, admin: psycopg.Connection, dba: Dba) -> None:
    dba("alter table app.tasks no force row level security")
    assert admin.execute("select distinct level from audit.findings").fetchall() == [("warning",)]

    with calling(url("app_api")) as client:
        assert client.get("/health").json() == HEALTHY
        assert add_task(client).status_code == 201


def test_a_newer_schema_does_not_close_it(url: Url, dba: Dba) -> None:
    dba("update migrations.alembic_version set version_num = '9999'")
    dba(record([*MIGRATIONS.revisions, "9999"]))

    with calling(url("app_api")) as client:
        assert client.get("/health").json() == HEALTHY | {"revision": "9999"}
        assert add_task(client).status_code == 201


def test_the_revisions_that_it_knows_are_those_of_alembic() -> None:
    script = ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))

    assert {revision.revision for revision in script.walk_revisions()} == MIGRATIONS.revisions
    assert script.get_current_head() == MIGRATIONS.head


# ---- closed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["app_migrator", "app_auditor", "a superuser", "a superuser that acts as app_api"])
def test_the_wrong_login_closes_it(role: str, url: Url, admin: psycopg.Connection, dba: Dba) -> None:
    dba("insert into app.tasks (user_id, text) values ('alice', 'Buy milk')")
    login, address = role, url(role)
    if role.startswith("a superuser"):
        login = admin.info.user
        address = url(quote(login)).replace(PASSWORD, quote(admin.info.password or PASSWORD, safe=""))
    if role.endswith("app_api"):
        address += "&role=app_api"

    with calling(address) as client:
        assert f"DATABASE_URL logs in as {login}" in assert_closed(client)
    assert admin.execute("select text, completed from app.tasks").fetchall() == [("Buy milk", False)]


BACK = "delete from migrations.alembic_version; insert into migrations.alembic_version table kept"

# What is done to the database, what undoes it, and what the API says meanwhile.
BROKEN = {
    "a login above the walls": ("alter role app_api bypassrls", "alter role app_api nobypassrls", "BYPASSRLS"),
    "a login that may become the owner": ("grant app_owner to app_api", "revoke app_owner from app_api", "app_owner"),
    "a login that acts as another": (
        "grant app_owner to app_api; alter role app_api in database {} set role = 'app_owner'",
        "revoke app_owner from app_api; alter role app_api in database {} reset role",
        "logs in as app_api and acts as app_owner",
    ),
    "a setting that acts as another": (
        "alter role app_api in database {} set role = 'app_owner'",
        "alter role app_api in database {} reset role",
        "role=app_owner",
    ),
    "no row-level security": (
        "alter table app.tasks disable row level security",
        "alter table app.tasks enable row level security",
        "app.tasks: Row-level security is disabled. Remedy: alter table app.tasks enable row level security;",
    ),
    "a policy for all rows": (
        "alter policy tasks_belong_to_their_user on app.tasks using (true)",
        "alter policy tasks_belong_to_their_user on app.tasks using (user_id = app.current_user_id())",
        "tasks_belong_to_their_user",
    ),
    "an audit that is not there": (
        "alter schema audit rename to elsewhere",
        "alter schema elsewhere rename to audit",
        "alembic upgrade head",
    ),
    "an audit that may not be read": (
        "revoke select on audit.findings from app_api",
        "grant select on audit.findings to app_api",
        "permission denied",
    ),
    "an older revision": (
        "update migrations.alembic_version set version_num = '0001'",
        BACK,
        f"at revision 0001, and this version needs {MIGRATIONS.head}: run alembic upgrade head",
    ),
    "an unknown revision": (
        "update migrations.alembic_version set version_num = 'bogus'",
        BACK,
        "at revision bogus",
    ),
    "two revisions": (
        "insert into migrations.alembic_version values ('9999')",
        BACK,
        f"at revision {MIGRATIONS.head}, 9999",
    ),
    "no revision": ("delete from migrations.alembic_version", BACK, "alembic upgrade head"),
    "no right to see the revision": (
        "revoke usage on schema migrations from app_api",
        "grant usage on schema migrations to app_api",
        "alembic upgrade head",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_closes_it_and_it_opens_when_that_is_mended(name: str, url: Url, dba: Dba) -> None:
    breaks, mends, reason = BROKEN[name]
    with broken(dba, breaks, mends) as mend, calling(url("app_api")) as client:
        assert reason in assert_closed(client)

        mend()
        assert_opens(client)


def test_every_reason_is_told(url: Url, dba: Dba) -> None:
    for breaks in ("an older revision", "no row-level security", "a policy for all rows"):
        dba(BROKEN[breaks][0])

    with calling(url("app_migrator")) as client:
        reasons = assert_closed(client)

    for reason in ("app_migrator", "0001", "Row-level security is disabled", "tasks_belong_to_their_user"):
        assert reason in reasons
    assert len(reasons.splitlines()) == 4


def test_a_schema_that_was_dropped_closes_it_until_the_migrations_have_run(url: Url, dba: Dba) -> None:
    dba("grant create on database {} to app_owner")
    dba("drop schema audit, app, migrations cascade")

    with calling(url("app_api")) as client:
        assert assert_closed(client).count("alembic upgrade head") == 2

        alembic(url("app_migrator"), "upgrade", "head")
        assert_opens(client)


# A look that takes four seconds, and finds nothing.
SLOW = """
alter view audit.findings rename to swift;
create view audit.findings as
    select * from audit.swift union all select '', 'info' || pg_sleep(4)::text, '', '', '', '';
grant select on audit.findings to app_api
"""


def test_the_first_request_after_the_database_came_opens_it(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire, calling(wire.url) as client:
        answer = list_tasks(client)
        assert_unavailable(answer)
        assert "cannot be reached" in answer.json()["detail"]

        wire.open()
        assert list_tasks(client).status_code == 200


def test_it_stays_closed_while_the_first_look_takes_long(url: Url, dba: Dba) -> None:
    dba(SLOW)
    with calling(url("app_api")) as client:
        answer = client.get("/health")
        assert_unavailable(answer, database="ok", revision=MIGRATIONS.head, reasons=NOT_CHECKED)
        assert_unavailable(list_tasks(client))
        assert_opens(client)


# ---- while it runs -----------------------------------------------------------------------------------


def test_it_closes_by_itself_without_any_request(url: Url, dba: Dba, caplog: pytest.LogCaptureFixture) -> None:
    with calling(url("app_api")) as client:
        assert add_task(client).status_code == 201

        dba("alter table app.tasks disable row level security")
        deadline = time.monotonic() + CLOSES
        while "not ready" not in caplog.messages:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert "Row-level security is disabled" in assert_closed(client)

        dba("alter table app.tasks enable row level security")
        assert_opens(client)
        assert "ready again" in caplog.messages


def test_a_connection_that_began_as_somebody_else_does_not_outlive_the_closure(url: Url, dba: Dba) -> None:
    with calling(url("app_api")) as client:
        breaks, mends, _ = BROKEN["a login that acts as another"]
        with broken(dba, breaks, mends) as mend:
            assert add_task(client).status_code == 403  # app_owner's: it began before the gate noticed
            assert wait_for_status(lambda: add_task(client), 503, CLOSES).status_code == 503

            mend()
            assert_opens(client)
            assert add_task(client).status_code == 201


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate looks more often than it does in earnest."""
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 0.5)


@pytest.mark.usefixtures("restless")
def test_a_database_that_is_away_does_not_close_it(url: Url, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        with calling(wire.url) as client:
            assert add_task(client).status_code == 201
            wire.cut()
            deadline = time.monotonic() + 3 * NOT_READY_INTERVAL  # time for some looks
            while time.monotonic() < deadline:
                answer = add_task(client)
                assert_unavailable(answer)
                assert "cannot be reached" in answer.json()["detail"]
                time.sleep(0.05)

            wire.mend()
            assert add_task(client).status_code == 201
            assert "not ready" not in caplog.messages


@pytest.mark.usefixtures("restless")
def test_a_look_that_is_cut_off_does_not_close_it(
    url: Url, admin: psycopg.Connection, dba: Dba, caplog: pytest.LogCaptureFixture
) -> None:
    cut_off = """
        select pg_cancel_backend(pid), query_start from pg_stat_activity
        where datname = current_database() and query ~ 'audit.findings' and wait_event = 'PgSleep'
    """
    with calling(url("app_api")) as client:
        dba(SLOW)
        looks: set[tuple[object, ...]] = set()
        deadline = time.monotonic() + 2 * CLOSES
        while len(looks) < 2:  # what came of the first one is known when the second one is under way
            looks.update(admin.execute(cut_off).fetchall())
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert list_tasks(client).status_code == 200
        assert "not ready" not in caplog.messages


@pytest.mark.usefixtures("restless")
def test_a_look_does_not_wait_for_a_lock(
    url: Url, admin: psycopg.Connection, dba: Dba, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = """
        select query_start from pg_stat_activity
        where datname = current_database() and application_name = 'partywall health' and wait_event_type = 'Lock'
    """
    with calling(url("app_api")) as client, admin.transaction():
        dba("alter view audit.findings set (security_barrier = false)")  # locked until the end
        looks: set[tuple[object, ...]] = set()
        deadline = time.monotonic() + READY_INTERVAL
        while len(looks) < 2:  # the first one has given up when there is a second one
            looks.update(admin.execute(waiting).fetchall())
            admin.execute("select pg_stat_clear_snapshot()")
            assert time.monotonic() < deadline
        assert list_tasks(client).status_code == 200
        assert "not ready" not in caplog.messages


def test_a_migration_does_not_close_it_and_is_not_in_its_way(
    url: Url, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 0)
    monkeypatch.setattr("api.health.readiness.NOT_READY_INTERVAL", 0)
    with calling(url("app_api")) as client:
        for _ in range(2):
            alembic(url("app_migrator"), "upgrade", "head")
            assert list_tasks(client).status_code == 200
    assert "not ready" not in caplog.messages


def test_a_database_that_is_away_does_not_open_it(url: Url, dba: Dba) -> None:
    dba("alter table app.tasks disable row level security")
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        with calling(wire.url) as client:
            assert_closed(client)
            wire.cut()
            deadline = time.monotonic() + 2 * NOT_READY_INTERVAL
            while time.monotonic() < deadline:
                assert "Not ready" in list_tasks(client).json()["detail"]
                time.sleep(0.05)
            assert_unavailable(client.get("/health"), database="unavailable")

            wire.mend()
            dba("alter table app.tasks enable row level security")
            assert_opens(client)
