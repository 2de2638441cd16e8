"""The OpenAPI document: errors, headers and examples, which FastAPI would describe differently or not at all."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from api.http import bookmark, examples
from api.http.access import Role
from api.http.codes import ERRORS, PROBLEMS
from api.http.fields import absent
from api.http.problems import title
from api.http.resource import Resource
from api.http.routers import component_name, header_references, problems, reference

# The models are never instantiated. A default_factory makes a member optional and says no more: it is absent where
# it does not apply, never null.


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    code: str = Field(
        description="What is wrong, for a program.", examples=["too_long"], json_schema_extra={"enum": [*ERRORS]}
    )
    detail: str = Field(description="What is wrong, for a person.", examples=["Too long: the maximum length is 500."])
    pointer: str = Field(
        default_factory=str, description="Where in the body: a JSON pointer (RFC 6901).", examples=["#/text"]
    )
    parameter: str = Field(
        default_factory=str, description="Which path or query parameter, or which header.", examples=["limit"]
    )
    limit: int = Field(default_factory=int, description="Of a length, a number of items or a value.", examples=[500])
    expected: str = Field(default_factory=str, description="Which type of JSON.", examples=["integer"])
    allowed: list[str] = Field(default_factory=list, description="Which values there are.")
    fields: list[str] = Field(default_factory=list, description="Of which fields one is needed.")
    name: str = Field(default_factory=str, description="Which name an object has twice.")
    position: int = Field(default_factory=int, description="Where the body stops being JSON, in characters.")
    reason: str = Field(default_factory=str, description="Why, as the program that found it says.")
    of: str = Field(default_factory=str, description="Of which list the cursor is.")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="Where `code` is explained.", examples=["/docs/errors#not_found"])
    title: str = Field(description="The status in words.", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What happened and what to do, for a person.")
    code: str = Field(
        description="What happened, for a program.", examples=["not_found"], json_schema_extra={"enum": [*PROBLEMS]}
    )
    request_id: str = Field(description="Also in the header X-Request-ID and in the server's log.")
    role: Role = Field(default_factory=absent, description="With `role_required`: at least this role is needed.")
    errors: list[FieldError] = Field(
        default_factory=list,
        description="With status 422: all that is wrong. With 404 for several rows: which of them do not exist.",
    )


class HealthProblem(Problem):
    """Why requests are not served."""

    database: Literal["ok", "read only", "idle", "unavailable"] = Field(description="Whether the database responds.")
    checked_seconds_ago: float | None = Field(
        description="Seconds since the database last responded; null if it has not yet.", examples=[4.2]
    )
    revision: str | None = Field(
        default_factory=str, description="Of the schema; null if it has none.", examples=["0001"]
    )
    reasons: list[str] = Field(default_factory=list, description="Why the API is not ready.")
    replica: str = Field(default_factory=str, description="Whether the replica is used, where there is one.")


HEADERS: dict[str, dict[str, Any]] = {
    "ETag": {
        "description": "The version of the row, `updated_at` in quotes: for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "examples": [examples.ETAG]},
    },
    "Idempotency-Replayed": {
        "description": "Present when this is the first response once more.",
        "schema": {"type": "string", "const": "true"},
    },
    "Link": {
        "description": "The next page; absent on the last one.",
        "schema": {"type": "string", "examples": ['</tasks?cursor=…>; rel="next"']},
    },
    "Location": {
        "description": "The path of the new row.",
        "required": True,
        "schema": {"type": "string", "examples": [f"/tasks/{examples.REQUEST_ID}"]},
    },
    bookmark.NAME: {
        "description": "Present where reads are served by a replica: a read that sends it sees this write.",
        "schema": {"type": "string", "pattern": bookmark.PATTERN, "examples": [examples.BOOKMARK]},
    },
    "Retry-After": {
        "description": "After how many seconds to try again.",
        "required": True,
        "schema": {"type": "integer", "examples": [1]},
    },
    "WWW-Authenticate": {
        "description": "What is wrong with the token.",
        "required": True,
        "schema": {"type": "string", "examples": ['Bearer error="invalid_token"']},
    },
    "X-Request-ID": {
        "description": "The request's id: the one that was sent, or a new one.",
        "required": True,
        "schema": {"type": "string", "examples": [examples.REQUEST_ID]},
    },
}
# Of the API, whoever runs it: generators and linters ask for all three.
INFO = {
    "contact": {"name": "Whoever runs this server"},
    "license": {"name": "MIT", "identifier": "MIT"},
}
SERVERS = [{"url": "/", "description": "The server that this document comes from."}]
ERROR_HEADERS = {401: ["WWW-Authenticate"], 412: ["ETag"], 429: ["Retry-After"], 503: ["Retry-After"]}

# Of every route, and of those with the workspace in their path: the session takes it, not the handler.
PARAMETERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Names this request in the response and in the log, if it is 1 to 128 of A-Z a-z 0-9 . _ -",
        "schema": {"type": "string", "examples": [examples.REQUEST_ID]},
    },
    "workspace_id": {
        "name": "workspace_id",
        "in": "path",
        "required": True,
        "description": "The workspace: a UUID, version 7.",
        "schema": {"type": "string", "format": "uuid", "examples": [examples.WORKSPACE_ID]},
    },
}
# Of the routes that read rows.
BOOKMARK = {
    "name": bookmark.NAME,
    "in": "header",
    "description": "Of an earlier write: the response shows it, and all that was written before.",
    "schema": {"type": "string", "pattern": bookmark.PATTERN, "examples": [examples.BOOKMARK]},
}


def complete_document(app: FastAPI, resources: Sequence[Resource]) -> None:
    """Add the components that routes point to, examples, and what the middleware does for every route."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = generate()
        document["info"] |= INFO
        document |= {
            "servers": SERVERS,
            "tags": [{"name": each.name, "description": each.description} for each in resources],
        }
        for url, path in document["paths"].items():
            for method, operation in path.items():
                _complete_operation(method, operation)
            path["parameters"] = [
                reference("parameters", name) for name in PARAMETERS if name == "X-Request-ID" or f"{{{name}}}" in url
            ]
        components = document["components"]
        components["schemas"] |= _schemas(FieldError, Problem, HealthProblem)
        for resource in resources:
            for name, value in resource.examples.items():  # FastAPI would leave out what is null
                components["schemas"][name]["examples"] = [value]
        components["headers"] = HEADERS
        components["parameters"] = PARAMETERS
        components["responses"] = {
            **{component_name(status): _response(status, "Problem", of) for status, of in _problems(resources)},
            "Unhealthy": _response(503, "HealthProblem", examples.UNHEALTHY),
        }
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _complete_operation(method: str, operation: dict[str, Any]) -> None:
    # A sentence, where FastAPI has the name of the function.
    operation["summary"] = re.split(r"\.(?:\s|$)", operation["description"], maxsplit=1)[0]
    operation.setdefault("security", [])  # of an open route; else it would be up to the reader
    before = {str(status): response for status, response in problems(*examples.BEFORE_ROUTES).items()}
    operation["responses"] = dict(sorted((operation["responses"] | before).items()))
    if operation["security"] and method == "get":
        operation["parameters"] = [*operation.get("parameters", []), BOOKMARK]
    elif operation["security"]:
        for status, response in operation["responses"].items():
            if status < "300":
                response["headers"] |= header_references(bookmark.NAME)


def _problems(resources: Sequence[Resource]) -> Iterable[tuple[int, examples.Problems]]:
    """Return the examples of errors by status: those of every route, then those of each resource."""
    found: dict[int, examples.Problems] = {**examples.PROBLEMS, **examples.BEFORE_ROUTES}
    for resource in resources:
        for status, problems_ in resource.problems.items():
            found[status] = {**found.get(status, {}), **problems_}
    return found.items()


def _response(status: int, model: str, values: examples.Problems) -> dict[str, Any]:
    content = {
        "schema": reference("schemas", model),
        "examples": {name: {"value": value} for name, value in values.items()},
    }
    return {
        "description": title(status),
        "headers": header_references(*ERROR_HEADERS.get(status, ())),
        "content": {"application/problem+json": content},
    }


def _schemas(*models: type[BaseModel]) -> dict[str, Any]:
    template = reference("schemas", "{model}")["$ref"]
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=template)
    found: dict[str, Any] = schemas["$defs"]
    return found
