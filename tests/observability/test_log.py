"""The log says whose request it was, and why it failed: without a user id, and without a value of a row."""

import asyncio
import json
import logging
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import asyncpg
import psycopg
import pytest
from pydantic import BaseModel

from api.observability.causes import cause_of, describe
from api.observability.logs import LOGGING, JsonFormatter
from api.observability.text import TextFormatter
from db.connect import DatabaseUnavailableError
from db.pool import Pool
from db.session import Session
from tests.support.database import Url
from tests.support.servers import caller, uvicorn_printing_to

MARKER = "marker-4711"  # in a row, in a request and in a user id
USER = f"{MARKER}@example.com"
HASH = sha256(USER.encode()).hexdigest()[:16]

# ---- why a request failed ----------------------------------------------------------------------------


class Failure(NamedTuple):
    """What the log has of a request that adds a task with the text MARKER."""

    status: int
    fields: dict[str, str]


TABLE = {"table": "app.tasks"}
ODD = TABLE | {"constraint": "odd"}

# Something that is done to app.tasks: to the table, or in a trigger of it.
CONSTRAINTS: dict[str, Failure] = {
    "add constraint odd check (text not like 'marker%')": Failure(422, ODD | {"sqlstate": "23514"}),
    "add constraint odd exclude (text with =)": Failure(500, ODD | {"sqlstate": "23P01"}),
    "add constraint odd unique (text)": Failure(409, ODD | {"sqlstate": "23505"}),
    "add odd text not null generated always as (nullif(text, 'marker-4711')) stored": Failure(
        500, TABLE | {"sqlstate": "23502", "column": "odd"}
    ),
}
TRIGGERS: dict[str, Failure] = {
    "raise exception 'no %', new.text": Failure(500, {"sqlstate": "P0001", "cause": "P0001 RaiseError"}),
    "raise exception 'no' using detail = new.text, hint = new.text": Failure(500, {"sqlstate": "P0001"}),
    "raise sqlstate 'ZZ001' using message = new.text": Failure(500, {"sqlstate": "ZZ001"}),
    "raise sqlstate '53400' using message = new.text": Failure(
        503, {"sqlstate": "53400", "cause": "53400 ConfigurationLimitExceededError"}
    ),
    "raise check_violation using message = new.text, constraint = 'odd', table = 'tasks', schema = 'app'": Failure(
        422, ODD | {"sqlstate": "23514"}
    ),
    "assert false, new.text": Failure(500, {"sqlstate": "P0004"}),
    "perform new.text::uuid": Failure(422, {"sqlstate": "22P02"}),
    "perform new.text::jsonb": Failure(422, {"sqlstate": "22P02"}),
    "perform (new.text || '99999999999')::numeric(3)": Failure(422, {"sqlstate": "22P02"}),
    "perform (substr(new.text, 8) || '99999999999')::int": Failure(422, {"sqlstate": "22003"}),
    "perform to_date(new.text, 'YYYY')": Failure(422, {"sqlstate": "22007"}),
    "execute format('select from %I', new.text)": Failure(500, {"sqlstate": "42P01"}),
    "perform new.text::regclass": Failure(500, {"sqlstate": "42P01"}),
    "perform current_setting(new.text)": Failure(500, {"sqlstate": "42704"}),
    "perform has_schema_privilege(new.text, 'usage')": Failure(500, {"sqlstate": "3F000"}),
}


def apply(admin: psycopg.Connection, statement: str) -> None:
    """Do one of these."""
    if statement in CONSTRAINTS:
        admin.execute(f"alter table app.tasks {statement}".encode())
        return
    body = f"begin {statement}; return new; end"
    admin.execute(f"create function app.odd() returns trigger language plpgsql as $${body}$$".encode())
    admin.execute("create trigger odd before insert on app.tasks for each row execute function app.odd()")


def undo(admin: psycopg.Connection) -> None:
    admin.execute("alter table app.tasks drop constraint if exists odd, drop column if exists odd")
    admin.execute("drop function if exists app.odd() cascade")


def test_a_failure_is_in_the_log_by_its_cause_and_without_values(
    url: Url, admin: psycopg.Connection, tmp_path: Path
) -> None:
    admin.autocommit = True
    log = tmp_path / "log"
    failures = CONSTRAINTS | TRIGGERS
    statuses = {}
    with (
        uvicorn_printing_to(log, url("app_api")) as address,
        caller(address, USER) as client,
        psycopg.connect(url("postgres")) as dba,
    ):
        dba.execute("lock table audit.manifest")  # or the readiness check would find what is done here
        for number, statement in enumerate(failures):
            if "unique" in statement or "exclude" in statement:
                assert client.post("/tasks", json={"text": MARKER}).status_code == 201
            apply(admin, statement)
            response = client.post("/tasks", json={"text": MARKER}, headers={"X-Request-ID": str(number)})
            statuses[statement] = response.status_code
            undo(admin)
            admin.execute("delete from app.tasks")
    output = log.read_text()

    assert statuses == {statement: failure.status for statement, failure in failures.items()}
    logged = [json.loads(line) for line in output.splitlines()]
    for number, failure in enumerate(failures.values()):
        of_it = [line for line in logged if line.get("request_id") == str(number)]
        [access] = [line for line in of_it if line["logger"] == "partywall.access"]
        assert failure.fields.items() <= access.items()
        assert (access["user"], access["status"]) == (HASH, failure.status)
        errors = [line for line in of_it if line["level"] == "ERROR"]
        assert len(errors) == (failure.status == 500)
        for error in errors:
            assert (failure.fields.items() - {*error.items()}) <= {("cause", access["cause"])}
            assert "api/tasks/routes.py" in error["exc_info"]
            assert error["exc_info"].startswith("Traceback (most recent call last):\n")
    assert MARKER not in output
    assert MARKER[-4:] * 2 not in output


# ---- tracebacks --------------------------------------------------------------------------------------


class Model(BaseModel):
    number: int


def _of_values() -> dict[str, Exception]:
    """Return errors whose messages hold a value."""

    def look_up() -> None:
        dict[str, str]()[MARKER]

    def validate() -> None:
        Model.model_validate({"number": MARKER})

    errors = {}
    for each in (look_up, validate, lambda: int(MARKER), lambda: MARKER.encode().decode("x-unknown")):
        try:
            each()
        except Exception as error:  # noqa: BLE001 - whatever it is
            errors[type(error).__name__] = error
    return errors


def formatted(error: BaseException, message: str = "internal error") -> str:
    """Return the line of an error."""
    options = dict(LOGGING["formatters"]["json"])
    options.pop("()")
    return JsonFormatter(options.pop("fmt"), **options).format(record_of(error, message))


def record_of(error: BaseException, message: str) -> logging.LogRecord:
    return logging.LogRecord("test", logging.ERROR, __file__, 1, message, (), (type(error), error, None))


def test_a_traceback_has_frames_and_types_and_no_values() -> None:
    errors = _of_values()
    assert errors.keys() == {"KeyError", "ValidationError", "ValueError", "LookupError"}
    for name, error in errors.items():
        assert MARKER in str(error) or name == "LookupError"
        line = formatted(error)
        assert MARKER not in line
        traceback = json.loads(line)["exc_info"]
        assert "test_log.py" in traceback
        assert traceback.splitlines()[-1].rpartition(".")[2] == name or name == "LookupError"


def test_a_traceback_has_what_came_before_and_the_members_of_a_group_without_values() -> None:
    def fail() -> None:
        try:
            int(MARKER)
        except ValueError as error:
            raise DatabaseUnavailableError(str(error)) from error

    def fail_within() -> None:
        try:
            fail()
        except DatabaseUnavailableError:
            None.nothing  # type: ignore[attr-defined]  # noqa: B018 - the error is the point

    try:
        fail_within()
    except AttributeError as error:
        line = formatted(ExceptionGroup(MARKER, [error, KeyError(MARKER)]))
    traceback = json.loads(line)["exc_info"]
    assert MARKER not in line
    for part in (
        "ValueError",
        "which caused",
        "AttributeError: 'NoneType' object has no attribute 'nothing'",
        "KeyError",
    ):
        assert part in traceback


def test_an_error_that_refers_to_itself_has_a_traceback() -> None:
    error = ValueError()
    error.__cause__ = error
    assert "ValueError" in formatted(error)
    error.__cause__ = DatabaseUnavailableError()
    error.__cause__.__cause__ = error
    assert cause_of(ValueError())
    assert "ValueError" in formatted(error)


def test_what_asyncio_says_of_a_callback_is_left_out() -> None:
    line = formatted(KeyError(), f"Exception in callback f('{MARKER}')\nhandle: <Handle f('{MARKER}')>")
    assert json.loads(line)["message"] == "Exception in callback f"


def test_an_argument_that_cannot_be_sent_is_not_repeated(url: Url) -> None:
    async def send() -> BaseException:
        async with Pool(url("app_api"), size=1) as pool:
            with pytest.raises(asyncpg.DataError) as caught:
                await Session(pool, "alice", read_only=True).fetchval("select $1::int", MARKER)
            return caught.value

    error = asyncio.run(send())
    assert MARKER in str(error)
    assert MARKER not in cause_of(error) + describe(error) + formatted(error)

    for_a_person = TextFormatter().format(record_of(error, "internal error"))
    assert "db/session.py" in for_a_person
    assert "asyncpg/connection.py" not in for_a_person  # but for where it ends
    assert "asyncpg/protocol/prepared_stmt.pyx" in for_a_person
    assert for_a_person.splitlines()[-1].startswith(f"asyncpg.exceptions.DataError: {error}")
