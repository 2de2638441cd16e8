"""Every route of the app, whoever adds it, and what the OpenAPI document says of one.

A test that must hold for every route asks here: a resource that is added to api/main.py is tested by it at once.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx2
from fastapi.routing import APIRoute, iter_route_contexts

from api.main import create_app
from api.settings import Settings
from tests.support.tokens import JWT_SECRET

Route = tuple[str, str]  # method, path

APP = create_app(Settings(_env_file=None, database_url="postgresql://nowhere", jwt_secret=JWT_SECRET))
# As a code generator reads it.
DOCUMENT: dict[str, Any] = json.loads(json.dumps(APP.openapi()))
SCHEMAS: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]
CONTEXTS = [*iter_route_contexts(APP.routes)]
ENDPOINTS: dict[Route, APIRoute] = {
    (method, context.path or ""): context.original_route
    for context in CONTEXTS
    if isinstance(context.original_route, APIRoute)
    for method in context.methods or ()
}
ROUTES = sorted(ENDPOINTS)
OPEN = {("GET", "/health"), ("GET", "/health/db"), ("GET", "/health/live")}
NEEDS_TOKEN = [route for route in ROUTES if route not in OPEN]
# Of every resource: the path of its list, and that of one of its rows.
COLLECTIONS: dict[str, str] = {
    path.rpartition("/")[0]: path
    for method, path in ROUTES
    if method == "GET" and path.endswith("}") and path.count("{") == 1
}

SOME_ID = str(UUID(int=7))


def operation(method: str, path: str) -> dict[str, Any]:
    """Return what the document says of a route."""
    found: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return found


def resolve(described: dict[str, Any]) -> dict[str, Any]:
    """Return what is described, or the component that it refers to."""
    if reference := described.get("$ref"):
        *_, kind, name = reference.split("/")
        found: dict[str, Any] = DOCUMENT["components"][kind][name]
        return found
    return described


def described_response(method: str, path: str, status: int | str) -> dict[str, Any]:
    """Return what the document says of a response."""
    return resolve(operation(method, path)["responses"][str(status)])


def values_of(key: str, tree: object) -> Iterator[Any]:
    """Yield what stands under `key`, anywhere in a part of the document."""
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, branch in branches:
        if name == key:
            yield branch
        yield from values_of(key, branch)


def parameters(method: str, path: str, where: str) -> dict[str, dict[str, Any]]:
    """Return the route's own parameters by name: those in the "path", the "query" or the "header"."""
    described = operation(method, path).get("parameters", [])
    return {each["name"]: each for each in described if each["in"] == where}


def example(described: dict[str, Any] | None) -> Any:
    """Return the example of a request's or a response's body; None if it has no body."""
    if described is None or "content" not in described:
        return None
    [found] = resolve(described["content"]["application/json"]["schema"])["examples"]
    return found


# The ids of the rows that are examples.
EXAMPLE_IDS = re.compile("|".join({example(described_response("GET", one, 200))["id"] for one in COLLECTIONS.values()}))


def call(client: httpx2.Client, route: Route, row: str = SOME_ID, **more: Any) -> httpx2.Response:
    """Send a request that the route accepts: the document's example, for the row with the id `row`."""
    method, path = route
    required = {
        name: each["schema"]["const"] for name, each in parameters(method, path, "query").items() if each["required"]
    }
    body = example(operation(method, path).get("requestBody"))
    sent = {"params": required, "json": body and json.loads(EXAMPLE_IDS.sub(row, json.dumps(body)))}
    return client.request(method, re.sub(r"{\w+}", row, path), **sent | more)


def create(client: httpx2.Client, collection: str, **headers: str) -> str:
    """Create a row, the document's example; return its id."""
    created = call(client, ("POST", collection), headers=headers)
    assert created.status_code == 201, created.text
    return created.headers["location"].removeprefix(f"{collection}/")
