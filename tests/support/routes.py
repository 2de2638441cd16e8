"""Every route of the app, whoever adds it, and what the OpenAPI document says of one.

A test that must hold for every route asks here: a resource that is added to api/main.py is tested by it at once.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import httpx2
from fastapi.routing import APIRoute, iter_route_contexts

from api.main import create_app
from api.settings import Settings
from tests.support.tokens import JWT_SECRET

Route = tuple[str, str]  # method, path
Place = Mapping[str, str]  # of a row: the parameters of its path

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
# Of every resource whose rows are created by a request: the path of its list, and that of one of its rows.
COLLECTIONS: dict[str, str] = {
    path.rpartition("/")[0]: path
    for method, path in ROUTES
    if method == "GET" and path.endswith("}") and ("POST", path.rpartition("/")[0]) in ROUTES
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


def fill(path: str, place: Place | str) -> str:
    """Return a path with its parameters: those of a place, or all of them the same. Others are some id."""
    return re.sub(r"{(\w+)}", lambda name: place if isinstance(place, str) else place.get(name[1], SOME_ID), path)


def own_id(place: Place) -> str:
    """Return the id of the row itself: the last one of its path."""
    *_, last = place.values()
    return last


def place_of(location: str, path: str) -> Place:
    """Return the parameters that a path has in an address."""
    found = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path), location)
    assert found, (location, path)
    return found.groupdict()


def call(client: httpx2.Client, route: Route, place: Place | str = SOME_ID, **more: Any) -> httpx2.Response:
    """Send a request that the route accepts: the document's example, for the row at `place`."""
    method, path = route
    row = place if isinstance(place, str) else own_id(place)
    required = {
        name: each["schema"]["const"] for name, each in parameters(method, path, "query").items() if each["required"]
    }
    body = example(operation(method, path).get("requestBody"))
    sent = {"params": required, "json": body and json.loads(EXAMPLE_IDS.sub(row, json.dumps(body)))}
    return client.request(method, fill(path, place), **sent | more)


def create(client: httpx2.Client, collection: str, **headers: str) -> Place:
    """Create a row, the document's example, in a workspace of its own if it belongs to one; return its place."""
    of_workspace = {name: f"{value}-workspace" for name, value in headers.items()}
    parent = create(client, "/workspaces", **of_workspace) if "{workspace_id}" in collection else SOME_ID
    created = call(client, ("POST", collection), parent, headers=headers)
    assert created.status_code == 201, created.text
    return place_of(created.headers["location"], COLLECTIONS[collection])


def populate(client: httpx2.Client, user: str) -> dict[str, Place]:
    """Create a row of every resource; return for each path the place of such a row. `user` is who calls."""
    rows = {path: place for one in COLLECTIONS.items() for place in [create(client, one[0])] for path in one}
    of_members = {"user_id": user}
    return {path: rows.get(path, {**rows["/workspaces"], **of_members}) for _, path in ROUTES}
