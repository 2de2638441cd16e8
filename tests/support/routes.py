"""Every route of the app, whoever adds it, and what its OpenAPI document says of one."""

from typing import Any
from uuid import UUID

from fastapi.routing import APIRoute, iter_route_contexts

from api.main import create_app
from api.settings import Settings
from tests.support.tokens import JWT_SECRET

APP = create_app(Settings(_env_file=None, database_url="postgresql://nowhere", jwt_secret=JWT_SECRET))
CONTEXTS = [*iter_route_contexts(APP.routes)]
# (method, path) of every route of ours, whoever adds it.
ROUTES = sorted(
    (method, context.path or "")
    for context in CONTEXTS
    if isinstance(context.original_route, APIRoute)
    for method in context.methods or ()
)
OPEN = {("GET", "/health"), ("GET", "/health/db"), ("GET", "/health/live")}
NEEDS_TOKEN = [route for route in ROUTES if route not in OPEN]

SOME_ID = UUID(int=7)


def operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path][method.lower()]
    return found


def resolve(document: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """Return what is described, or the component that is referred to."""
    if reference := described.get("$ref"):
        *_, kind, name = reference.split("/")
        found: dict[str, Any] = document["components"][kind][name]
        return found
    return described


def response(document: dict[str, Any], method: str, path: str, status: int | str) -> dict[str, Any]:
    return resolve(document, operation(document, method, path)["responses"][str(status)])
