"""The OpenAPI document, as code generators and people read it. Each route against it: test_every_route.py."""

import json
import os
import re
import socket
import subprocess
import sys
from typing import Any

import httpx2
import pytest
from pydantic.alias_generators import to_camel

from api.http import examples
from api.http.bookmark import NAME
from api.http.server import Protocol
from api.settings import Settings
from tests.support.database import ROOT
from tests.support.routes import (
    APP,
    COLLECTIONS,
    DOCUMENT,
    ENDPOINTS,
    OPEN,
    ROUTES,
    SCHEMAS,
    Route,
    call,
    create,
    described_response,
    operation,
    parameters,
    resolve,
    values_of,
)
from tests.support.servers import serving

COMMITTED = ROOT / "api" / "openapi.json"


def schemas_of(described: object) -> set[str]:
    """Return the names of the schemas that a part of the document refers to, at any depth."""
    names = {
        reference.rpartition("/")[2]
        for reference in values_of("$ref", described)
        if reference.startswith("#/components/schemas/")
    }
    return names.union(*(schemas_of(SCHEMAS[name]) for name in names))


# ---- the document ------------------------------------------------------------------------------------


def test_the_committed_document_is_this_one() -> None:
    assert COMMITTED.read_text() == json.dumps(APP.openapi(), indent=2, ensure_ascii=False) + "\n", "run make openapi"


def test_the_command_prints_it_without_any_settings() -> None:
    environment = {"PATH": os.environ["PATH"], "JWT_SECRET": "too short"}
    done = subprocess.run(
        [sys.executable, "-m", "api", "openapi"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout == COMMITTED.read_text()


def test_it_is_served_to_anybody(anonymous: httpx2.Client) -> None:
    response = anonymous.get("/openapi.json")

    assert (response.status_code, response.json()) == (200, DOCUMENT)
    assert "/openapi.json" in anonymous.get("/docs").text


def test_it_is_openapi_3_1_and_every_reference_leads_somewhere() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert all(resolve({"$ref": reference}) for reference in values_of("$ref", DOCUMENT))
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)


def test_it_says_where_it_is_served_who_may_use_it_and_what_each_tag_means() -> None:
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]
    assert DOCUMENT["info"]["license"]["identifier"] == "MIT"
    tags = [tag["name"] for tag in DOCUMENT["tags"] if tag["description"]]
    assert tags == [*dict.fromkeys(tag for route in APP.routes for tag in getattr(route, "tags", ()))]


class Hasty(Protocol):
    """The server's protocol, with a limit that a test can wait for."""

    head_seconds = 0.2


def test_what_is_refused_before_any_route_gets_the_example_of_its_problem(settings: Settings) -> None:
    sent = {400: b"\r\n\x00", 408: b"GET /", 431: b"GET / HTTP/1.1\r\nA: " + b"a" * 17_000}
    with serving(settings, http=Hasty) as address:
        url = httpx2.URL(address)
        for status, [shown] in ((status, each.values()) for status, each in examples.BEFORE_ROUTES.items()):
            with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
                connection.sendall(sent[status])
                _, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")

            problem = json.loads(body)
            assert problem == {**shown, "request_id": problem["request_id"]}


# ---- routes ------------------------------------------------------------------------------------------


def test_every_route_has_a_sentence_for_people_and_a_function_name_for_programs() -> None:
    for route in ROUTES:
        described = operation(*route)
        assert re.fullmatch(r"[A-Z][a-z]+ .+[^.]", described["summary"]), route
        assert described["description"].startswith(f"{described['summary']}.")
        assert described["operationId"] == to_camel(ENDPOINTS[route].name)
    assert len({operation(*route)["operationId"] for route in ROUTES}) == len(ROUTES)


def expected_headers(method: str, path: str) -> dict[str, set[str]]:
    """Return the headers of each response of a resource, but those that every response can have."""
    if method != "GET":  # with the bookmark of the write
        [status] = [each for each in operation(method, path)["responses"] if each < "300"]
        described = headers_of_rows(method, path)
        return described | {status: described.get(status, set()) | {NAME}}
    return headers_of_rows(method, path)


def headers_of_rows(method: str, path: str) -> dict[str, set[str]]:
    if path == "/invitations/accept":
        return {"200": {"ETag"}}
    if method == "POST":
        return {"201": {"Location", "ETag", "Idempotency-Replayed"}}
    if method == "GET" and (method, path) not in OPEN and not path.endswith("}"):
        return {"200": {"Link"}}
    if path.endswith("}"):
        statuses = {"GET": ("200", "304", "412"), "DELETE": ("412",)}.get(method, ("200", "412"))
        return {status: {"ETag"} for status in statuses}
    return {}


def test_headers_are_described_where_they_are_read_and_sent() -> None:
    everywhere = {"401": {"WWW-Authenticate"}, "429": {"Retry-After"}, "503": {"Retry-After"}}
    for method, path in ROUTES:
        read = [resolve(each)["name"] for each in DOCUMENT["paths"][path]["parameters"]]
        assert read == ["X-Request-ID", *(["workspace_id"] if "{workspace_id}" in path else [])]
        for status in operation(method, path)["responses"]:
            sent = {"X-Request-ID"} | (everywhere | expected_headers(method, path)).get(status, set())
            assert set(described_response(method, path, status)["headers"]) == sent, (method, path, status)


HEADERS: dict[str, tuple[str, ...]] = {
    NAME: ("0", "9" * 18, "1" * 19, "", "-1", "1.5", "1, 2", "x", "\xb2"),
    "Idempotency-Key": ('"a b"', '"a\\\\b"', "k" * 255, f'"{"k" * 256}"', "a b", '"', ""),
    "If-None-Match": ('"1"', 'W/"1", "2"', ', "é" ,', "1", '"1', "**", "* *", ""),
    "If-Match": ("*", '"1"', 'W/"1", "2"', ', "é" ,', "1", '"1', "**", "* *", ""),
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_header_is_described_as_strictly_as_it_is_read(name: str, collection: str, alice: httpx2.Client) -> None:
    """With a pattern that Python and JavaScript read alike."""
    row = create(alice, collection)
    method = "DELETE" if ("PATCH", COLLECTIONS[collection]) not in ROUTES else "PATCH"
    method = "GET" if name == NAME else method
    route = ("POST", collection) if name == "Idempotency-Key" else (method, COLLECTIONS[collection])
    pattern = parameters(*route, "header")[name]["schema"]["pattern"]
    for value in HEADERS[name]:
        response = call(alice, route, row, headers={name.encode(): value.encode("latin-1")})

        assert bool(re.search(pattern, value)) == (response.status_code != 422), value


# ---- bodies ------------------------------------------------------------------------------------------

BODIES: dict[Route, dict[str, Any]] = {
    route: operation(*route)["requestBody"]["content"] for route in ROUTES if "requestBody" in operation(*route)
}


def test_a_body_is_described_as_strictly_as_it_is_read() -> None:
    """Without defaults, which would make a field required in what is generated from it."""
    for name in schemas_of([*BODIES.values()]):
        schema = SCHEMAS[name]
        assert schema["additionalProperties"] is False, name
        assert [*values_of("default", schema), *values_of("nullable", schema)] == [], name


def test_a_change_of_one_row_may_be_sent_as_a_merge_patch_and_nothing_else_may() -> None:
    for (method, path), content in BODIES.items():
        merge_patch = ["application/merge-patch+json"] if method == "PATCH" and path.endswith("}") else []
        assert list(content) == ["application/json", *merge_patch]
        assert len({json.dumps(each) for each in content.values()}) == 1
        if merge_patch:
            schema = resolve(content["application/json"]["schema"])
            assert (schema["minProperties"], schema.get("required")) == (1, None)


def test_a_response_is_described_without_fields_that_may_be_missing() -> None:
    for route in ROUTES:
        for status in operation(*route)["responses"]:
            if status < "300":
                for name in schemas_of(described_response(*route, status)):
                    assert set(SCHEMAS[name]["required"]) == SCHEMAS[name]["properties"].keys(), name
