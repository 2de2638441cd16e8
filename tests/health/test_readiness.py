"""The readiness check: what makes the API not ready, what makes it ready again, and that nobody is served meanwhile."""

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
from tests.support.health import HEALTHY, SLOW, assert_unavailable, list_tasks, state_of, wait_for_status
from tests.support.routes import NEEDS_TOKEN, call
from tests.support.servers import calling
from tests.support.tokens import bearer, make_token
from tests.support.waiting import eventually
from tests.support.wire import Wire

ALICE = bearer(make_token("alice", lifetime=3600))
CHECK_SECONDS = 5.0  # that a check may take on a slow machine
READY_WITHIN = NOT_READY_INTERVAL + CHECK_SECONDS
NOT_READY_WITHIN = READY_INTERVAL + CHECK_SECONDS

Dba = Callable[[str], None]


@pytest.fixture
def dba(admin: psycopg.Connection) -> Dba:
    """Return a function that runs a statement as a superuser; {} in it is the database."""
    admin.rollback()
    admin.autocommit = True
    admin.execute("create temporary table kept as table migrations.alembic_version")

    def run(statement: str) -> None:
        admin.execute(sql.SQL(statement).format(sql.Identifier(admin.info.dbname)))

    return run


@contextmanager
def broken(dba: Dba, breaks: str, repairs: str) -> Iterator[Callable[[], None]]:
    """Break something; give what repairs it, at the end at the latest: roles are shared by all tests."""
    dba(breaks)
    with ExitStack() as stack:
        stack.callback(dba, repairs)
        yield stack.close


def add_task(client: httpx2.Client) -> httpx2.Response:
    return client.post("/tasks", json={"text": "Buy milk"}, headers=ALICE)


def assert_not_ready(client: httpx2.Client) -> str:
    """See that /health is 503 and says why, and that no tenant is served. Return the reasons."""
    response = client.get("/health")
    revision, reasons = response.json()["revision"], response.json()["reasons"]
    assert_unavailable(response, database="ok", revision=revision, reasons=reasons)
    assert response.json()["detail"].startswith("Not ready: ")
    for route in NEEDS_TOKEN:
        assert call(client, route).status_code == 401
        refused = call(client, route, headers=ALICE)
        assert_unavailable(refused)
        assert refused.json()["detail"] == "Not ready: the database failed the readiness check. /health says why."
        assert refused.headers["retry-after"] == response.headers["retry-after"] == "1"
    assert state_of(client.get("/health/db")) == {"database": "ok"}
    assert client.get("/health/live").json() == {"status": "ok"}
    return "\n".join(reasons)


def assert_ready_again(client: httpx2.Client) -> None:
    assert wait_for_status(lambda: client.get("/health"), 200, READY_WITHIN).status_code == 200
    assert list_tasks(client).status_code == 200


# ---- ready -------------------------------------------------------------------------------------------


def test_a_good_database_is_served_from_the_first_request_on(url: Url) -> None:
    with calling(url("app_api")) as client:
        assert add_task(client).status_code == 201
        assert state_of(client.get("/health")) == HEALTHY


def test_the_first_check_is_over_before_the_first_request(url: Url, admin: psycopg.Connection) -> None:
    with calling(url("app_api")):
        sessions = admin.execute("""
            select state, query from pg_stat_activity
            where datname = current_database() and application_name = 'partywall health'
        """).fetchall()
    assert ("idle", "commit") in sessions
    assert {state for state, _ in sessions} == {"idle"}


def test_the_readiness_check_costs_a_request_no_round_trip(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        with calling(wire.url) as client:
            list_tasks(client)  # connects, and prepares the statement
            before = wire.round_trips
            assert list_tasks(client).status_code == 200
            assert wire.round_trips - before == 1


def test_a_warning_of_the_audit_does_not_stop_the_api(url: Url, admin: psycopg.Connection, dba: Dba) -> None:
    dba("alter table app.tasks no force row level security")
    assert admin.execute("select distinct level from audit.findings").fetchall() == [("warning",)]

    with calling(url("app_api")) as client:
        assert state_of(client.get("/health")) == HEALTHY
        assert add_task(client).status_code == 201


def test_a_newer_schema_is_served(url: Url, dba: Dba) -> None:
    dba("update migrations.alembic_version set version_num = '9999'")
    dba(record([*MIGRATIONS.revisions, "9999"]))

    with calling(url("app_api")) as client:
        assert state_of(client.get("/health")) == HEALTHY | {"revision": "9999"}
        assert add_task(client).status_code == 201


def test_the_revisions_that_it_knows_are_those_of_alembic() -> None:
    script = ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))

    assert {revision.revision for revision in script.walk_revisions()} == MIGRATIONS.revisions
    assert script.get_current_head() == MIGRATIONS.head


# ---- not ready ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["app_migrator", "app_auditor", "a superuser", "a superuser that acts as app_api"])
def test_the_wrong_login_is_not_served(role: str, url: Url, admin: psycopg.Connection, dba: Dba) -> None:
    dba("insert into app.tasks (user_id, text) values ('alice', 'Buy milk')")
    login, address = role, url(role)
    if role.startswith("a superuser"):
        login = admin.info.user
        address = url(quote(login)).replace(PASSWORD, quote(admin.info.password or PASSWORD, safe=""))
    if role.endswith("app_api"):
        address += "&options=-c%20role%3Dapp_api"

    with calling(address) as client:
        assert f"DATABASE_URL logs in as {login}" in assert_not_ready(client)
    assert admin.execute("select text, completed from app.tasks").fetchall() == [("Buy milk", False)]


BACK = "delete from migrations.alembic_version; insert into migrations.alembic_version table kept"

# What is done to the database, what undoes it, and what the API says meanwhile.
BROKEN = {
    "a login that bypasses row-level security": (
        "alter role app_api bypassrls",
        "alter role app_api nobypassrls",
        "BYPASSRLS",
    ),
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
def test_the_api_is_not_ready_while_something_is_broken_and_ready_once_it_is_repaired(
    name: str, url: Url, dba: Dba
) -> None:
    breaks, repairs, reason = BROKEN[name]
    with broken(dba, breaks, repairs) as repair, calling(url("app_api")) as client:
        assert reason in assert_not_ready(client)

        repair()
        assert_ready_again(client)


def test_every_reason_is_reported(url: Url, dba: Dba) -> None:
    for breaks in ("an older revision", "no row-level security", "a policy for all rows"):
        dba(BROKEN[breaks][0])

    with calling(url("app_migrator")) as client:
        reasons = assert_not_ready(client)

    for reason in ("app_migrator", "0001", "Row-level security is disabled", "tasks_belong_to_their_user"):
        assert reason in reasons
    assert len(reasons.splitlines()) == 4 + len(("table app.tasks", "its policy"))  # no longer as released


def test_after_the_schema_was_dropped_the_api_is_ready_when_the_migrations_have_run(url: Url, dba: Dba) -> None:
    dba("grant create on database {} to app_owner")
    dba("drop schema audit, app, migrations cascade")

    with calling(url("app_api")) as client:
        assert assert_not_ready(client).count("alembic upgrade head") == 2

        alembic(url("app_migrator"), "upgrade", "head")
        assert_ready_again(client)


def test_what_is_missing_since_the_last_check_is_not_ready_rather_than_an_internal_error(url: Url, dba: Dba) -> None:
    with calling(url("app_api")) as client:
        assert add_task(client).status_code == 201

        with broken(dba, "alter schema app rename to elsewhere", "alter schema elsewhere rename to app"):
            assert {list_tasks(client).status_code, add_task(client).status_code} == {503}


def test_the_first_request_after_the_database_has_started_is_served(url: Url) -> None:
    with closing(Wire(url("app_api"))) as wire, calling(wire.url) as client:
        response = list_tasks(client)
        assert_unavailable(response)
        assert "cannot be reached" in response.json()["detail"]

        wire.open()
        assert list_tasks(client).status_code == 200


def test_nobody_is_served_while_the_first_check_runs(url: Url, dba: Dba, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.health.readiness.START_TIMEOUT", 0.5)
    dba(SLOW)
    with calling(url("app_api")) as client:
        response = client.get("/health")
        assert_unavailable(response, database="ok", revision=MIGRATIONS.head, reasons=NOT_CHECKED)
        assert_unavailable(list_tasks(client))
        assert_ready_again(client)


# ---- while it runs -----------------------------------------------------------------------------------


def test_a_hole_is_noticed_without_any_request(url: Url, dba: Dba, caplog: pytest.LogCaptureFixture) -> None:
    with calling(url("app_api")) as client:
        assert add_task(client).status_code == 201

        dba("alter table app.tasks disable row level security")
        deadline = time.monotonic() + NOT_READY_WITHIN
        while "not ready" not in caplog.messages:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert "Row-level security is disabled" in assert_not_ready(client)

        dba("alter table app.tasks enable row level security")
        assert_ready_again(client)
        assert "ready again" in caplog.messages


def test_no_connection_that_began_as_another_role_is_used_once_the_api_is_ready_again(url: Url, dba: Dba) -> None:
    with calling(url("app_api")) as client:
        breaks, repairs, _ = BROKEN["a login that acts as another"]
        with broken(dba, breaks, repairs) as repair:
            assert add_task(client).status_code == 403  # as app_owner: it began before the check
            assert wait_for_status(lambda: add_task(client), 503, NOT_READY_WITHIN).status_code == 503

            repair()
            assert_ready_again(client)
            assert add_task(client).status_code == 201


@pytest.fixture
def frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the database more often than in production."""
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 0.5)


@pytest.mark.usefixtures("frequent_checks")
def test_an_unavailable_database_does_not_make_a_ready_api_not_ready(
    url: Url, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        with calling(wire.url) as client:
            assert add_task(client).status_code == 201
            wire.cut()
            deadline = time.monotonic() + 3 * NOT_READY_INTERVAL  # time for some checks
            while time.monotonic() < deadline:
                response = add_task(client)
                assert_unavailable(response)
                assert "cannot be reached" in response.json()["detail"]
                time.sleep(0.05)

            wire.mend()
            assert add_task(client).status_code == 201
            assert "not ready" not in caplog.messages


@pytest.mark.usefixtures("frequent_checks")
def test_a_check_that_is_cancelled_changes_nothing(
    url: Url, admin: psycopg.Connection, dba: Dba, caplog: pytest.LogCaptureFixture
) -> None:
    cut_off = """
        select pg_cancel_backend(pid), query_start from pg_stat_activity
        where datname = current_database() and query ~ 'audit.findings' and wait_event = 'PgSleep'
    """
    with calling(url("app_api")) as client:
        dba(SLOW)
        checks: set[tuple[object, ...]] = set()
        deadline = time.monotonic() + 2 * NOT_READY_WITHIN
        while len(checks) < 2:  # the first one is over when a second one runs
            checks.update(admin.execute(cut_off).fetchall())
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert list_tasks(client).status_code == 200
        assert "not ready" not in caplog.messages


@pytest.mark.usefixtures("frequent_checks")
def test_a_check_does_not_wait_for_a_lock(
    url: Url, admin: psycopg.Connection, dba: Dba, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = """
        select query_start from pg_stat_activity
        where datname = current_database() and application_name = 'partywall health' and wait_event_type = 'Lock'
    """
    with (
        calling(url("app_api")) as client,
        psycopg.connect(url("app_migrator"), autocommit=True) as migrator,
        admin.transaction(),
    ):
        dba("alter view audit.findings set (security_barrier = false)")  # locked until the end
        migrator.execute("set role app_owner; create table app.countries ()")  # something to check
        checks: set[tuple[object, ...]] = set()
        deadline = time.monotonic() + READY_INTERVAL
        while len(checks) < 2:  # the first one has ended when there is a second one
            checks.update(admin.execute(waiting).fetchall())
            admin.execute("select pg_stat_clear_snapshot()")
            assert time.monotonic() < deadline
        assert list_tasks(client).status_code == 200
        assert "not ready" not in caplog.messages


def test_migrations_and_checks_do_not_disturb_each_other(
    url: Url, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 0)
    monkeypatch.setattr("api.health.readiness.NOT_READY_INTERVAL", 0)
    with calling(url("app_api")) as client:
        for _ in range(2):
            alembic(url("app_migrator"), "upgrade", "head")
            assert list_tasks(client).status_code == 200
    assert "not ready" not in caplog.messages


def test_an_unavailable_database_does_not_make_the_api_ready(url: Url, dba: Dba) -> None:
    dba("alter table app.tasks disable row level security")
    with closing(Wire(url("app_api"))) as wire:
        wire.open()
        with calling(wire.url) as client:
            assert_not_ready(client)
            wire.cut()
            deadline = time.monotonic() + 2 * NOT_READY_INTERVAL
            while time.monotonic() < deadline:
                assert "Not ready" in list_tasks(client).json()["detail"]
                time.sleep(0.05)
            eventually(lambda: client.get("/health").json()["database"] == "unavailable")

            wire.mend()
            dba("alter table app.tasks enable row level security")
            assert_ready_again(client)
