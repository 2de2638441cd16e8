"""What the caller is told when the database refuses a statement, or does not respond."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import asyncpg
import httpx2
import psycopg
import pytest
from psycopg import sql
from starlette.requests import Request

from api.http.problems import to_response
from api.main import RESOURCES
from api.tasks.resource import TASKS
from db.connect import DatabaseUnavailableError
from db.pool import Pool
from db.session import Session
from tests.support.database import Url

SCRATCH = """
create schema scratch;
grant usage on schema scratch to app_api;
create table scratch.locked_away (number int);
create table scratch.pads (number int primary key);
create table scratch.notes (
    owner text,
    number int check (number > 0),
    pad int references scratch.pads,
    primary key (owner, number)
);
alter table scratch.notes enable row level security;
create policy notes_belong_to_their_owner on scratch.notes to app_api
    using (owner = app.current_user_id()) with check (owner = app.current_user_id());
grant select, insert, update on scratch.notes to app_api;
insert into scratch.notes values ('alice', 1)
"""

RAISED: dict[str, tuple[int, str]] = {
    "a policy refuses a new row": (403, "insert into scratch.notes values ('bob', 1)"),
    "a policy refuses that a row changes hands": (403, "update scratch.notes set owner = 'bob'"),
    "a grant on a table is missing": (500, "select * from scratch.locked_away"),
    "a grant on a column is missing": (500, "update app.tasks set user_id = 'bob'"),
    "a grant on a schema is missing": (500, "create table app.another ()"),
    "a key exists": (409, "insert into scratch.notes values ('alice', 1)"),
    "a reference goes nowhere": (409, "insert into scratch.notes values ('alice', 2, 3)"),
    "a check that has no message yet": (422, "insert into scratch.notes values ('alice', 0)"),
    "a value is out of range": (422, "select 1 / 0"),
    "a value has the wrong form": (422, "select 'x'::uuid"),
    "a table is missing": (500, "select * from scratch.nothing"),
    "this is not SQL": (500, "selecht 1"),
    "a serialization failure, again and again": (503, "do $$ begin raise sqlstate '40001'; end $$"),
    "a deadlock, again and again": (503, "do $$ begin raise sqlstate '40P01'; end $$"),
    "no space": (503, "do $$ begin raise sqlstate '53100'; end $$"),
    "no memory": (503, "do $$ begin raise sqlstate '53200'; end $$"),
    "a limit": (503, "do $$ begin raise sqlstate '53400'; end $$"),
    "a disk that cannot be read": (503, "do $$ begin raise sqlstate '58030'; end $$"),
    "a database that was dropped": (503, "do $$ begin raise sqlstate '57P04'; end $$"),
    "a lock": (503, "do $$ begin raise sqlstate '55P03'; end $$"),
    "a cancelled statement": (503, "do $$ begin raise sqlstate '57014'; end $$"),
    "a database that can only be read": (503, "do $$ begin raise sqlstate '25006'; end $$"),
    "an error inside of the database": (500, "do $$ begin raise sqlstate 'XX000'; end $$"),
    "a shutdown": (503, "do $$ begin raise sqlstate '57P01'; end $$"),
    "what nobody has thought of": (500, "do $$ begin raise sqlstate 'ZZ001'; end $$"),
}


CODES = {
    "a serialization failure, again and again": "concurrent_update",
    "a deadlock, again and again": "concurrent_update",
    "no space": "database_full",
    "no memory": "database_out_of_memory",
    "a limit": "database_limit",
    "a lock": "locked",
    "a cancelled statement": "database_timeout",
    "a database that can only be read": "database_read_only",
}


def told(url: str, *statements: str) -> list[dict[str, Any]]:
    """Return what Alice is told when requests of hers run these statements in her session."""

    async def ask(session: Session, statement: str) -> dict[str, Any]:
        with pytest.raises((asyncpg.PostgresError, DatabaseUnavailableError)) as caught:
            await session.fetch(statement)
        request = Request({"type": "http", "state": {"request_id": "the-id"}})
        response = to_response(request, caught.value, TASKS.constraints)
        assert ("retry-after" in response.headers) == (response.status_code == 503)
        problem: dict[str, Any] = json.loads(bytes(response.body))
        assert (problem["status"], problem["request_id"]) == (response.status_code, "the-id")
        return problem

    async def ask_all() -> list[dict[str, Any]]:
        async with Pool(url, size=1) as pool:
            session = Session(pool, "alice", read_only=False)
            return [await ask(session, statement) for statement in statements]

    return asyncio.run(ask_all())


# ---- what the database says, and what that is to the caller ------------------------------------------


def test_each_error_of_the_database_has_a_status_and_reveals_nothing(admin: psycopg.Connection, url: Url) -> None:
    admin.execute(SCRATCH)
    admin.execute("grant usage on language plpgsql to app_api")
    admin.commit()

    problems = told(url("app_api"), *(statement for _, statement in RAISED.values()))

    statuses = {name: problem["status"] for name, problem in zip(RAISED, problems, strict=True)}
    assert statuses == {name: status for name, (status, _) in RAISED.items()}
    codes = {name: problem["code"] for name, problem in zip(RAISED, problems, strict=True) if problem["status"] == 503}
    assert codes == dict.fromkeys(codes, "database_unavailable") | CODES
    details = " ".join(problem["detail"] for problem in problems)
    assert not [
        word for word in ("app.", "scratch", "notes", "locked", "42501", "permission", "policy") if word in details
    ]


def test_a_check_of_a_field_points_at_it(url: Url) -> None:
    too_long, blank = told(
        url("app_api"),
        "insert into app.tasks (text) values (repeat('x', 501))",
        "insert into app.tasks (text) values (E' \\t')",
    )

    assert (too_long["status"], too_long["errors"][0]["pointer"]) == (422, "#/text")
    assert (blank["status"], blank["errors"][0]["pointer"]) == (422, "#/text")
    assert too_long["errors"] != blank["errors"]


def test_a_rule_that_only_the_database_has_is_a_422_at_its_field(
    alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    admin.execute("alter table app.tasks drop constraint tasks_text_length")
    admin.execute("alter table app.tasks add constraint tasks_text_length check (char_length(text) < 5)")
    admin.commit()

    response = alice.post("/tasks", json={"text": "too long"})

    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["#/text"]
    assert alice.post("/tasks", json={"text": "tiny"}).status_code == 201


def test_each_constraint_that_has_a_message_exists(admin: psycopg.Connection) -> None:
    """In the catalog, or raised as one by a trigger's function."""
    rows = admin.execute(r"""
        select conname from pg_constraint where connamespace = 'app'::regnamespace
        union all
        select name[1] from pg_proc, regexp_matches(prosrc, $$constraint = '(\w+)'$$, 'g') as name
        where pronamespace = 'app'::regnamespace
    """)

    assert {name for resource in RESOURCES for name in resource.constraints} <= {name for (name,) in rows.fetchall()}


# ---- timeouts and conflicts ------------------------------------------------------------------------


def lower(admin: psycopg.Connection, setting: str) -> None:
    """Lower one of the API's limits, in this database only, before the API connects."""
    name = sql.Identifier(admin.info.dbname)
    admin.execute(sql.SQL("alter role app_api in database {} set {} = '200ms'").format(name, sql.Identifier(setting)))
    admin.commit()


@pytest.mark.parametrize(("limit", "word"), [("statement_timeout", "long"), ("lock_timeout", "busy")])
def test_a_request_that_waits_too_long_is_told_to_try_again(
    limit: str, word: str, alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    lower(admin, limit)
    admin.execute("lock table app.tasks")

    responses = [alice.get("/tasks"), alice.post("/tasks", json={"text": "Buy milk"})]

    assert [response.status_code for response in responses] == [503, 503]
    assert [int(response.headers["retry-after"]) > 0 for response in responses] == [True, True]
    assert [word in response.json()["detail"] for response in responses] == [True, True]
    admin.rollback()
    assert alice.get("/tasks").json()["items"] == []


def fail_to_serialize(admin: psycopg.Connection, times: int) -> None:
    """Have so many inserts meet a serialization failure. A sequence counts: it does not roll back."""
    admin.execute(f"""
        create schema scratch;
        grant usage on schema scratch to app_api;
        create sequence scratch.tries;
        grant usage on sequence scratch.tries to app_api;
        create function scratch.fail() returns trigger language plpgsql as $$
        begin
            if nextval('scratch.tries') <= {times} then
                raise serialization_failure;
            end if;
            return new;
        end $$;
        create trigger fail before insert on app.tasks for each row execute function scratch.fail()
    """)
    admin.commit()


def test_a_serialization_failure_is_tried_once_more(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    fail_to_serialize(admin, times=1)

    assert alice.post("/tasks", json={"text": "Buy milk"}).status_code == 201
    assert len(alice.get("/tasks").json()["items"]) == 1


def test_after_a_second_serialization_failure_the_caller_has_to_retry(
    alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    fail_to_serialize(admin, times=2)

    response = alice.post("/tasks", json={"text": "Buy milk"})

    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert admin.execute("select last_value from scratch.tries").fetchone() == (2,)
    assert alice.get("/tasks").json()["items"] == []
    assert alice.post("/tasks", json={"text": "Buy milk"}).status_code == 201


# ---- broken connections --------------------------------------------------------------------------

KILL = """
select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity
where datname = current_database() and usename = 'app_api' and application_name = 'partywall'
"""
CANCEL = KILL.replace("pg_terminate_backend(pid, 5000)", "pg_cancel_backend(pid)")


BLOCKED = """
select count(*) from pg_locks join pg_database on pg_database.oid = database
where datname = current_database() and not granted
"""


@contextmanager
def waiting(admin: psycopg.Connection, *requests: Any) -> Iterator[list[Future[httpx2.Response]]]:
    """Give requests that wait in the database for what `admin` holds, which it lets go of at the end."""
    with ThreadPoolExecutor(len(requests)) as threads:
        try:
            responses = [threads.submit(request) for request in requests]
            while admin.execute(BLOCKED).fetchone() != (len(requests),):
                assert not any(response.done() for response in responses)
                time.sleep(0.01)
            yield responses
        finally:
            admin.rollback()


def test_a_connection_that_was_cut_while_idle_causes_no_internal_error(
    alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    for _ in range(5):
        assert alice.get("/tasks").status_code == 200
        assert admin.execute(KILL).fetchone() == (1,)
        admin.rollback()

        assert alice.get("/tasks").status_code in {200, 503}


@pytest.mark.parametrize("cut", [KILL, CANCEL], ids=["killed", "cancelled"])
def test_requests_that_are_cut_off_may_be_sent_again(cut: str, alice: httpx2.Client, admin: psycopg.Connection) -> None:
    task = alice.post("/tasks", json={"text": "Buy milk"}).json()
    path = f"/tasks/{task['id']}"
    admin.execute("lock table app.tasks")

    with waiting(
        admin,
        lambda: alice.get("/tasks"),
        lambda: alice.post("/tasks", json={"text": "Buy bread"}),
        lambda: alice.patch(path, json={"text": "Buy bread"}),
        lambda: alice.delete(path),
    ) as responses:
        admin.execute(cut)
        cut_off = [response.result(10) for response in responses]

    assert [response.status_code for response in cut_off] == [503] * 4
    assert {response.headers["content-type"] for response in cut_off} == {"application/problem+json"}
    assert [response.headers["retry-after"] for response in cut_off] == ["1"] * 4
    assert alice.get("/tasks").json()["items"] == [task]


def test_a_request_whose_commit_is_cut_off_is_not_told_that_it_worked(
    alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    admin.execute("""
        create schema scratch;
        create function scratch.wait() returns trigger language plpgsql as
        'begin perform pg_advisory_xact_lock(1); return null; end';
        create constraint trigger wait after insert on app.tasks deferrable initially deferred
        for each row execute function scratch.wait()
    """)
    admin.commit()
    admin.execute("select pg_advisory_xact_lock(1)")

    with waiting(admin, lambda: alice.post("/tasks", json={"text": "Buy milk"})) as [response]:
        admin.execute(KILL)
        cut_off = response.result(10)

    assert (cut_off.status_code, cut_off.headers["retry-after"]) == (503, "1")
    assert alice.get("/tasks").json()["items"] == []
    assert alice.post("/tasks", json={"text": "Buy milk"}).status_code == 201


def test_a_commit_that_the_database_refuses_is_reported(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    admin.execute("""
        create schema scratch;
        create function scratch.refuse() returns trigger language plpgsql as
        'begin raise check_violation using constraint = ''tasks_text_length''; end';
        create constraint trigger refuse after insert on app.tasks deferrable initially deferred
        for each row execute function scratch.refuse()
    """)
    admin.commit()

    response = alice.post("/tasks", json={"text": "Buy milk"})

    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "#/text")
    assert alice.get("/tasks").json()["items"] == []
