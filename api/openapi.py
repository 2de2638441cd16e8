"""What OpenAPI says about errors, which FastAPI would describe as something else.

The models are never instantiated. A default_factory makes a member optional and says no more: it is absent where
it does not apply, never null.
"""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from api.errors import title


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    detail: str = Field(
        description="What is wrong, for a person.", examples=["String should have at most 500 characters"]
    )
    pointer: str = Field(
        default_factory=str, description="Where in the body: a JSON pointer (RFC 6901).", examples=["#/text"]
    )
    parameter: str = Field(
        default_factory=str, description="Which path or query parameter, or which header.", examples=["limit"]
    )


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(description="The status in words.", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What happened and what to do, for a person.")
    request_id: str = Field(description="Also in the header X-Request-ID and in the server's log.")
    errors: list[FieldError] = Field(
        default_factory=list,
        description="With status 422: all that is wrong. With 404 for many tasks: which of them you do not have.",
    )
    reasons: list[str] = Field(default_factory=list, description="From /health: why the API is closed.")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that can answer with these errors."""
    content = {"application/problem+json": {"schema": {"$ref": REFERENCE.format(model="Problem")}}}
    return {
        status: {"description": title(status), "content": content} | headers(*ERROR_HEADERS.get(status, ()))
        for status in statuses
    }


def headers(*names: str) -> dict[str, Any]:
    """Return the part of a response that says which headers it has."""
    return {"headers": {name: {"description": HEADERS[name], "schema": {"type": "string"}} for name in names}}


HEADERS = {
    "ETag": "The version of the task: for If-Match and If-None-Match.",
    "Idempotency-Replayed": "`true` if this is the first answer once more; absent on the first one.",
    "Link": 'The next page, as `</tasks?…>; rel="next"`; absent on the last one.',
    "Location": "The path of the new task.",
    "Retry-After": "In how many seconds it is worth another try.",
    "WWW-Authenticate": "What is wrong with the token.",
}
ERROR_HEADERS = {401: ("WWW-Authenticate",), 412: ("ETag",), 503: ("Retry-After",)}
REFERENCE = "#/components/schemas/{model}"


def describe_problems(app: FastAPI) -> None:
    """Add the schema that `problems` refers to: FastAPI collects only those of application/json."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        _, schemas = models_json_schema([(Problem, "validation")], ref_template=REFERENCE)
        document["components"]["schemas"].update(schemas["$defs"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
