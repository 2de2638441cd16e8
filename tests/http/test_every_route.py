"""What every route promises, whoever adds it: its document is true, it needs a token, its errors have one shape."""

import inspect
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import jsonschema_rs
import psycopg
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.http import docs_page, examples
from api.invitations.examples import TOKEN
from tests.support.database import Url
from tests.support.forgery import assert_asked_for_token, assert_unauthorized
from tests.support.health import assert_unavailable
from tests.support.refusals import untouched
from tests.support.routes import (
    COLLECTIONS,
    CONTEXTS,
    DOCUMENT,
    ENDPOINTS,
    NEEDS_TOKEN,
    OPEN,
    ROUTES,
    SCHEMAS,
    SOME_ID,
    Place,
    Route,
    call,
    create,
    described_response,
    operation,
    parameters,
    resolve,
    values_of,
)
from tests.support.servers import calling
from tests.support.tokens import bearer, make_token
from tests.support.workspaces import add_member, invite, workspace

MEMBERS = "/workspaces/{workspace_id}/members"
ONE_MEMBER = f"{MEMBERS}/{{user_id}}"
ACCEPT = "/invitations/accept"

EVERY_ROUTE = pytest.mark.parametrize("route", ROUTES, ids=" ".join)
EVERY_ROUTE_OF_TENANTS = pytest.mark.parametrize("route", NEEDS_TOKEN, ids=" ".join)


# ---- which routes there are --------------------------------------------------------------------------


def test_the_document_has_every_route_of_a_resource_and_only_these_are_not_in_it() -> None:
    documented = [(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item]
    others = {context.path for context in CONTEXTS if not isinstance(context.original_route, APIRoute)}

    assert sorted(each for each in documented if each[0] != "PARAMETERS") == ROUTES
    assert others == {
        "/openapi.json",
        "/docs",
        "/docs/errors",
        "/metrics",
        *(f"/docs/assets/{name}" for name in docs_page.NAMES),
    }
    assert set(ROUTES) > OPEN
    assert "/tasks" in COLLECTIONS


def test_every_list_is_a_resource_with_rows_that_are_created_read_and_deleted() -> None:
    """The tests of every route create rows by this. A resource of another shape needs tests of its own."""
    for collection, one in COLLECTIONS.items():
        assert {("GET", collection), ("POST", collection), ("GET", one), ("DELETE", one)} <= {*ROUTES}
    others = {path for method, path in NEEDS_TOKEN if path not in {*COLLECTIONS, *COLLECTIONS.values()}}
    assert others == {MEMBERS, ONE_MEMBER, ACCEPT}  # tests/workspaces


def test_no_request_waits_for_a_thread() -> None:
    def calls(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
        yield dependant.call
        for dependency in dependant.dependencies:
            yield from calls(dependency)

    called = {each for route in ENDPOINTS.values() for each in calls(route.dependant)}
    assert len(called) > len(ROUTES)
    for each in called:  # FastAPI runs in a thread whatever is no coroutine
        assert inspect.iscoroutinefunction(each) or inspect.iscoroutinefunction(type(each).__call__), each


# ---- who is let in -----------------------------------------------------------------------------------


def test_every_route_but_health_needs_a_token_and_says_so(
    anonymous: httpx2.Client, admin: psycopg.Connection, subtests: pytest.Subtests
) -> None:
    [(name, scheme)] = DOCUMENT["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for route in NEEDS_TOKEN:
        with subtests.test(" ".join(route)), untouched(admin):
            assert_asked_for_token(call(anonymous, route))
            assert_unauthorized(call(anonymous, route, headers=bearer("forged")))
            assert operation(*route)["security"] == [{name: []}]


BAD: dict[str, dict[str, Any]] = {
    "an id": {"place": "x"},
    "a parameter": {"params": {"limit": "0", "unknown": "1"}},
    "a header": {"headers": {"If-Match": "x", "If-None-Match": "x", "Idempotency-Key": "a b"}},
    "no JSON": {"content": "{", "json": None, "headers": {"Content-Type": "application/json"}},
    "no UTF-8": {"content": b"\xff", "json": None, "headers": {"Content-Type": "application/json"}},
    "another type": {"content": "text=x", "json": None, "headers": {"Content-Type": "text/plain"}},
    "not a field": {"json": {"unknown": 1}},
    "too large": {"json": {"text": "x" * 70_000}},
    "compressed": {"headers": {"Content-Encoding": "gzip"}},
}


@pytest.mark.parametrize("what", BAD)
def test_who_is_calling_is_asked_before_anything_that_was_sent_is_looked_at(
    what: str, anonymous: httpx2.Client
) -> None:
    for route in NEEDS_TOKEN:
        sent = BAD[what] if "content" not in BAD[what] or route[0] != "GET" else {}
        assert_asked_for_token(call(anonymous, route, **sent))
        headers = sent.get("headers", {}) | bearer("forged")
        assert_unauthorized(call(anonymous, route, **sent | {"headers": headers}))


def test_the_body_of_a_request_without_a_token_is_not_read(base_url: str) -> None:
    """The response is there while the body is still to come."""
    url = httpx2.URL(base_url)
    for method, path in NEEDS_TOKEN:
        with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
            target = path.replace("{", "").replace("}", "")
            head = (
                f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
            )
            connection.sendall(head.encode() + b'{"text"')
            assert connection.recv(1000).startswith(b"HTTP/1.1 401 "), (method, path)


def test_health_is_open_and_says_so(anonymous: httpx2.Client) -> None:
    for route in OPEN:
        assert call(anonymous, route).status_code == 200
        assert operation(*route)["security"] == []


# ---- what it documents -------------------------------------------------------------------------------


BEFORE_ROUTES = {str(status) for status in examples.BEFORE_ROUTES}


CONFLICTS = {("PATCH", ONE_MEMBER): {"409"}, ("DELETE", ONE_MEMBER): {"409"}, ("POST", ACCEPT): {"409"}}


def expected_errors(method: str, path: str) -> set[str]:
    """Return the errors that every such route can respond with, whatever it does."""
    if (method, path) in OPEN:
        return BEFORE_ROUTES | (set() if path == "/health/live" else {"503"})
    body = operation(method, path).get("requestBody")
    errors = BEFORE_ROUTES | {"401", "422", "429", "500", "503"}
    if "{" in path or (body and {"id", "token"} & properties(body)):
        errors |= {"404"}
    errors |= CONFLICTS.get((method, path), set())
    if "{workspace_id}" in path and (method != "GET" or "/invitations" in path):
        errors |= {"403"}
    if "If-Match" in parameters(method, path, "header"):
        errors |= {"412"}
    return errors | ({"413", "415"} if body else set())


def properties(described: Any) -> set[str]:
    """Return the names of all members of a body, at any depth."""
    names: set[str] = set()
    for each in values_of("properties", described):
        names |= each.keys()
    for reference in values_of("$ref", described):
        names |= properties(resolve({"$ref": reference}))
    return names


@EVERY_ROUTE
def test_a_route_documents_every_error_that_it_can_respond_with(route: Route) -> None:
    errors = {status for status in operation(*route)["responses"] if status >= "400"}

    assert errors == expected_errors(*route)
    for status in errors:
        [(media_type, content)] = described_response(*route, status)["content"].items()
        model = "HealthProblem" if route in OPEN and status == "503" else "Problem"
        assert (media_type, content["schema"]) == (
            "application/problem+json",
            {"$ref": f"#/components/schemas/{model}"},
        )


@EVERY_ROUTE
def test_every_route_of_one_row_takes_if_match_and_if_none_match(route: Route) -> None:
    method, path = route
    of_lists = {"Idempotency-Key"} if method == "POST" and path != ACCEPT else set()
    of_one = {"If-Match", "If-None-Match"}
    of_reads = {"Partywall-Bookmark"} if method == "GET" and route in NEEDS_TOKEN else set()
    assert set(parameters(method, path, "header")) == (of_one if path.endswith("}") else of_lists) | of_reads


# ---- and what it responds with -----------------------------------------------------------------------


def provoke(client: httpx2.Client, admin: psycopg.Connection, route: Route, status: int) -> httpx2.Response:
    """Send a request of Alice's to which a route has to respond with this status."""
    has_body = "requestBody" in operation(*route)
    match status:
        case 401:
            return call(client, route, headers={"Authorization": ""})
        case 404:
            return call(client, route)
        case 409:
            return conflict(client, route)
        case 413:
            return call(client, route, json={"text": "x" * 70_000})
        case 415:
            return call(client, route, json=None, content="text=x")
        case 422:
            wrong: dict[str, Any] = {"json": {"unknown": 1}} if has_body else {"params": {"unknown": "1"}}
            return call(client, route, "x" if route[1].endswith("}") and not has_body else SOME_ID, **wrong)
    place = row_for(client, admin, route, role="viewer" if status == 403 else "owner")
    headers = {304: {"If-None-Match": "*"}, 412: {"If-Match": '"0"'}}.get(status, {})
    return call(client, route, place, headers=headers)


def conflict(client: httpx2.Client, route: Route) -> httpx2.Response:
    """Let Alice, who is the only owner of a workspace, accept an invitation to it, or cease to be one."""
    mine = create(client, "/workspaces")
    if route[1] == ACCEPT:
        invitation = call(client, ("POST", "/workspaces/{workspace_id}/invitations"), mine).json()
        return call(client, route, json={"token": invitation["token"]})
    sent = {"role": "viewer"} if route[0] == "PATCH" else None
    return call(client, route, {**mine, "user_id": "alice"}, json=sent)


def row_for(client: httpx2.Client, admin: psycopg.Connection, route: Route, *, role: str) -> Place | str:
    """Let Alice create a row for the route. If it is in a workspace, she has `role` there, and Bob is another owner."""
    path = route[1]
    if route in OPEN:
        return SOME_ID
    if path == ACCEPT:
        invite(admin, TOKEN, to=workspace(admin, owner="bob"))
        return SOME_ID
    place = create(client, next((each for each, one in COLLECTIONS.items() if path in (each, one)), "/workspaces"))
    if "workspace_id" in place:
        add_member(admin, place["workspace_id"], "bob", "owner")
        add_member(admin, place["workspace_id"], "alice", role)
    return {**place, "user_id": "bob"} if path == ONE_MEMBER else place


# What is not documented of an object is not in it.
CLOSED = {"schemas": {name: schema | {"additionalProperties": False} for name, schema in SCHEMAS.items()}}


def assert_as_documented(response: httpx2.Response, route: Route) -> None:
    """The status is documented for this route, and the headers and the body are those of this status."""
    documented = described_response(*route, response.status_code)
    described = {name.lower(): resolve(header) for name, header in documented["headers"].items()}
    ours = {name.lower() for name in DOCUMENT["components"]["headers"]} & response.headers.keys()
    assert {name for name, header in described.items() if header.get("required")} <= ours <= described.keys()
    if "content" not in documented:
        assert (response.content, "content-type" in response.headers) == (b"", False)
        return
    schema = documented["content"][response.headers["content-type"]]["schema"]
    jsonschema_rs.validate({**schema, "components": CLOSED}, response.json(), validate_formats=True)


@EVERY_ROUTE
def test_every_documented_status_comes_with_the_documented_headers_and_body(
    route: Route, alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    for status in map(int, operation(*route)["responses"].keys() - BEFORE_ROUTES):
        if status < 500 and status != 429:  # test_fairness has that
            response = provoke(alice, admin, route, status)

            assert response.status_code == status, response.text
            assert_as_documented(response, route)


def test_a_request_id_comes_back_from_every_route(alice: httpx2.Client, anonymous: httpx2.Client) -> None:
    for route in ROUTES:
        for client in (alice, anonymous):
            assert call(client, route, headers={"X-Request-ID": "mine"}).headers["x-request-id"] == "mine", route


def test_an_internal_error_is_a_500_on_every_route(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    admin.execute("revoke all on all tables in schema app from app_api")
    admin.execute("revoke execute on all functions in schema app from app_api")
    admin.commit()
    for route in NEEDS_TOKEN:
        response = call(alice, route)

        assert (route, response.status_code) == (route, 500)
        assert_as_documented(response, route)


@pytest.mark.parametrize("why", ["not ready", "unavailable"])
def test_no_route_serves_anybody_from_a_database_that_is_not_safe_to_use(
    why: str, url: Url, admin: psycopg.Connection
) -> None:
    if why == "not ready":
        admin.execute("alter table app.tasks disable row level security")
        admin.commit()
    address = url("app_api") if why == "not ready" else url("app_api").replace("?", "_that_never_existed?", 1)
    with untouched(admin), calling(address) as client:
        for route in NEEDS_TOKEN:
            response = call(client, route, headers=bearer(make_token("alice")))

            assert_unavailable(response)
            assert_as_documented(response, route)
            assert call(client, route).status_code == 401
