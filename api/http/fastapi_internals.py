"""Routes that read a well-formed request themselves.

FastAPI's own handler goes through all that a route could have, in each request: a third of the time of one that reads
a row. What a route does have is known when it is made.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from inspect import signature
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, request_response
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

JSON = frozenset({"application/json", "application/merge-patch+json"})

Arguments: TypeAlias = dict[str, Any]


class UnclearError(Exception):
    """FastAPI is to judge this request."""


class Route(APIRoute):
    """A route of FastAPI in everything but speed.

    What it validates, it validates by the fields that FastAPI made of the handler's signature. Where it finds
    anything wrong, it leaves the request to FastAPI, which finds it again and says what: no answer depends on which of
    the two has read the request.

    A handler may ask for: path parameters, one model of the query, headers, one body of JSON, the request, and
    dependencies that take the request and nothing else. It returns a response.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:  # noqa: ANN401 - FastAPI's
        """Make FastAPI's route, then go round it. Raises TypeError for a handler that asks for anything else."""
        super().__init__(path, endpoint, **options)
        if not _is_served(self.dependant, endpoint):
            raise TypeError(f"api.http.fastapi_internals.Route cannot read all that {endpoint.__name__} asks for")
        self._read = _reader(self.dependant)
        self._handle = endpoint
        self._leave_to_fastapi = self.get_route_handler()
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            arguments = await self._read(request)
        except UnclearError:

            async def handle(_: Request) -> Response:
                return await self._leave_to_fastapi(request)  # which has the body already

            async with AsyncExitStack() as scope["fastapi_middleware_astack"]:  # where FastAPI looks for it
                await request_response(handle)(scope, receive, send)
            return
        response = await self._handle(**arguments)
        await response(scope, receive, send)


def _reader(wanted: Dependant) -> Callable[[Request], Awaitable[Arguments]]:
    """Return what reads the arguments that are wanted. Its order is FastAPI's: the first thing wrong is answered."""
    dependencies = [(each.name, each.call) for each in wanted.dependencies if each.call]
    path = [(field.name, field.alias, field.validate) for field in wanted.path_params]
    query = [(field.name, field.validate) for field in wanted.query_params]
    headers = [(field.name, field.alias, field.validate) for field in wanted.header_params]
    body = [(field.name, field.validate) for field in wanted.body_params]
    its_request = wanted.request_param_name

    async def read(request: Request) -> Arguments:
        arguments: Arguments = {}
        content = await _json(request) if body else None
        for dependency, call in dependencies:
            value = await call(request)
            if dependency:
                arguments[dependency] = value
        for name, alias, validate in path:
            arguments[name] = _valid(validate(request.path_params[alias]))
        for name, validate in query:
            # As Starlette does it, which makes more of it than is needed here.
            asked = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
            arguments[name] = _valid(validate(dict(asked)))
        for name, alias, validate in headers:
            arguments[name] = _valid(validate(request.headers.get(alias)))
        for name, validate in body:
            arguments[name] = _valid(validate(content))
        if its_request:
            arguments[its_request] = request
        return arguments

    return read


def _is_served(wanted: Dependant, handler: Callable[..., object]) -> bool:
    models = [*wanted.query_params, *wanted.body_params]
    names = {wanted.request_param_name, *(each.name for each in wanted.dependencies)}
    names |= {field.name for field in (*wanted.path_params, *wanted.header_params, *models)}
    return (
        set(signature(handler).parameters) <= names
        and len(wanted.query_params) <= 1
        and len(wanted.body_params) <= 1
        and all(hasattr(field.field_info.annotation, "model_fields") for field in models)
        and all(signature(each.call).parameters.keys() == {"request"} for each in wanted.dependencies if each.call)
    )


def _valid(result: tuple[Any, list[Any]]) -> Any:  # noqa: ANN401 - whatever the field's type is
    value, errors = result
    if errors:
        raise UnclearError
    return value


async def _json(request: Request) -> Any:  # noqa: ANN401 - whatever it is
    if request.headers.get("Content-Type") not in JSON:
        raise UnclearError
    try:
        return await request.json()
    except (ValueError, RecursionError, ClientDisconnect) as error:
        raise UnclearError from error
