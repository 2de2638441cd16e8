"""What the routes of a resource say of themselves: their errors, and the headers of their responses.

They point to components of the OpenAPI document, which `api.http.openapi` adds.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel

from api.http.bodies import MERGE_PATCH
from api.http.fastapi_internals import Route
from api.http.problems import title

Responses = dict[int | str, dict[str, Any]]


TENANT_ERRORS = (401, 422, 429, 500, 503)
WORKSPACE_ERRORS = (401, 404, 422, 429, 500, 503)


def new_router(name: str, errors: Sequence[int] = TENANT_ERRORS, *, prefix: str | None = None) -> APIRouter:
    """Return a router of the resource `name`, at /name or under `prefix`.

    Each of its routes can respond with these errors: by default those of rows that belong to a user.
    """
    return APIRouter(
        prefix=f"/{name}" if prefix is None else prefix,
        tags=[name],
        route_class=Route,
        responses=problems(*errors),
        generate_unique_id_function=operation_id,
    )


def in_workspace(name: str, path: str = "") -> APIRouter:
    """Return a router of the resource `name`, whose rows belong to a workspace: at /workspaces/{workspace_id}/name."""
    return new_router(name, WORKSPACE_ERRORS, prefix=f"/workspaces/{{workspace_id}}/{path or name}")


def problems(*statuses: int) -> Responses:
    """Return the `responses` of a route that can respond with these errors."""
    return {
        status: {**reference("responses", component_name(status)), "description": title(status)} for status in statuses
    }


def success(status: int, description: str, *headers: str) -> Responses:
    """Return the `responses` of a route that succeeds with this status and these headers."""
    return {status: {"description": description, "headers": header_references(*headers)}}


def reference(kind: str, name: str) -> dict[str, str]:
    """Return what stands for a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def header_references(*names: str) -> dict[str, Any]:
    """Return what stands for headers of a response, and for the one that each response has."""
    return {name: reference("headers", name) for name in (*names, "X-Request-ID")}


def merge_patch(model: str) -> dict[str, Any]:
    """Return the `openapi_extra` of a route whose body, a `model`, may also be a merge patch (RFC 7396)."""
    return {"requestBody": {"content": {MERGE_PATCH: {"schema": reference("schemas", model)}}}}


def operation_id(route: APIRoute) -> str:
    """Return the handler's name, as a function would be called in TypeScript."""
    return to_camel(route.name)


def component_name(status: int) -> str:
    """Return the name of the component for errors with this status."""
    return title(status).replace(" ", "")


# What the routes of every resource respond with when all is well, and what can be wrong with such a request.
CREATED = success(201, "The new row.", "Location", "ETag", "Idempotency-Replayed") | problems(413, 415)
FOUND = (
    success(200, "The row.", "ETag")
    | success(304, "The row still has an ETag of If-None-Match.", "ETag")
    | problems(404, 412)
)
UPDATED = success(200, "The row as it is now.", "ETag") | problems(404, 412, 413, 415)
DELETED = success(204, "The row is deleted.") | problems(404, 412)
PAGE = success(200, "A page.", "Link")
NEEDS_ROLE = problems(403)
UNHEALTHY: Responses = {503: {**reference("responses", "Unhealthy"), "description": title(503)}}
