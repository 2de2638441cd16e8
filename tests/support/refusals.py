"""What every refusal has in common."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import psycopg

from api.http.codes import PROBLEMS, parameters
from tests.support.tables import tenant_tables

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


def assert_refused(response: httpx2.Response, status: int, *places: str) -> None:
    """Compare `response` with the one shape of all errors; `places` are what a 422 points at."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    members = ["type", "title", "status", "detail", "code", "request_id"]
    role = ["role"] if problem["code"] == "role_required" else []
    assert list(problem) == [*members, *role, *(["errors"] if places else [])]
    assert (problem["type"], problem["title"]) == (f"/docs/errors#{problem['code']}", TITLES[status])
    assert (problem["status"], PROBLEMS[problem["code"]].status) == (status, status)
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["detail"]
    errors = problem.get("errors", [])
    assert [error.get("pointer") or error.get("parameter") for error in errors] == list(places)
    for error in errors:
        assert error["detail"]
        assert error["code"] != "invalid"  # nobody has thought of it
        assert error.keys() - {"pointer", "parameter"} == {"code", "detail", *parameters(error["code"])}


def codes(response: httpx2.Response) -> list[str]:
    """Return the code of each member of `errors`."""
    return [error["code"] for error in response.json()["errors"]]


@contextmanager
def untouched(admin: psycopg.Connection) -> Iterator[None]:
    """See to it that no row of anybody's is added, changed or deleted meanwhile."""
    before = rows(admin)
    yield
    assert rows(admin) == before, "a row was added, changed or deleted"


def rows(admin: psycopg.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all tenants, by table."""
    found = {table: admin.execute(f"table {table}".encode()).fetchall() for table in tenant_tables(admin)}
    return {table: sorted(each, key=str) for table, each in found.items()}
