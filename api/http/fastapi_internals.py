"""Everything here that relies on internals of FastAPI and Starlette, so that an upgrade has one file to check.

pyproject.toml bounds both to the minor versions that tests/http/test_fastapi_internals.py was run with.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from email.message import Message
from functools import lru_cache, partial
from inspect import signature
from json import JSONDecodeError
from operator import attrgetter
from typing import Any, TypeAlias

from fastapi._compat import ModelField, Undefined, field_annotation_is_sequence, get_cached_model_fields
from fastapi.dependencies.models import Dependant, _is_async_gen_callable, _is_coroutine_callable, _is_gen_callable
from fastapi.dependencies.utils import (
    _get_param_aliases,
    _get_param_model,
    _validate_value_with_model_field,
    request_body_to_args,
    request_params_to_args,
)
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

Values: TypeAlias = dict[str, Any]  # arguments by their names
Errors: TypeAlias = list[Any]
Cache: TypeAlias = dict[object, Any]  # results of dependencies
Solve: TypeAlias = Callable[[Request, object, Cache], Awaitable[tuple[Values, Errors]]]

# Where parameters are, in FastAPI's order: in which attribute of a request those are that a Dependant wants.
SOURCES = {
    "path_params": "path_params",
    "query_params": "query_params",
    "header_params": "headers",
    "cookie_params": "cookies",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SERVED = {*SOURCES, "body_params", "dependencies", "name", "call", "path", "request_param_name", "scope", "use_cache"}


class Route(APIRoute):
    """FastAPI's route, without what FastAPI finds out anew in each request.

    It reads by the same fields and functions in the same order, and gives the same responses. It serves coroutine
    functions that return a Response, with any parameters, bodies of JSON and dependencies that are coroutine functions.

    Give it to `FastAPI(routes=…)`: `include_router` would make FastAPI's own handler of it.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:  # noqa: ANN401 - FastAPI's
        """Make FastAPI's route, then replace its ASGI app. Raises TypeError for what it does not serve."""
        super().__init__(path, endpoint, **options)
        if reasons := "; ".join(_refusals(self)):
            raise TypeError(f"{Route.__module__}.Route does not serve {self.name}: {reasons}")
        self._solve = _solver(self.dependant, embed=self._embed_body_fields)
        self.app = self._respond

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        body = await _body(request) if self.body_field else Undefined
        values, errors = await self._solve(request, body, {})
        if errors:
            raise RequestValidationError(errors, body=None if body is Undefined else body)
        response = await self.endpoint(**values)
        await response(scope, receive, send)


def _refusals(route: APIRoute) -> Iterator[str]:
    """Yield the reasons why `Route` would not do what FastAPI does."""
    result = signature(route.endpoint, eval_str=True).return_annotation
    reasons = {
        "its return annotation is not a Response": not (isinstance(result, type) and issubclass(result, Response)),
        "it takes a form": route.body_field is not None and isinstance(route.body_field.field_info, Form),
        "it has a max_body_size": route.max_body_size is not None,
        "it has strict_content_type=False": not route.strict_content_type,
        "its dependencies can be overridden": route.dependency_overrides_provider is not None,
    }
    yield from (reason for reason, holds in reasons.items() if holds)
    yield from _refusals_of(route.dependant)


def _refusals_of(wanted: Dependant) -> Iterator[str]:
    call = wanted.call
    name = getattr(call, "__qualname__", repr(call))
    if not _is_coroutine_callable(call) or _is_gen_callable(call) or _is_async_gen_callable(call):
        yield f"{name} is not a coroutine function"
    for field in fields(wanted):
        if field.name not in SERVED and getattr(wanted, field.name):
            yield f"{name} uses {field.name.removesuffix('_param_name')}"
    for each in wanted.dependencies:
        yield from _refusals_of(each)


def _solver(wanted: Dependant, *, embed: bool) -> Solve:
    """Return what finds the arguments of `wanted.call`: FastAPI's `solve_dependencies`, prepared."""
    dependencies = [(each, (each.call, each.scope), _solver(each, embed=embed)) for each in wanted.dependencies]
    readers = [(attrgetter(of), _reader(name, some)) for name, of in SOURCES.items() if (some := getattr(wanted, name))]

    async def solve(request: Request, body: object, cache: Cache) -> tuple[Values, Errors]:
        values: Values = {wanted.request_param_name: request} if wanted.request_param_name else {}
        errors: Errors = []
        for each, key, solve_its in dependencies:
            arguments, wrong = await solve_its(request, body, cache)
            if wrong:
                errors += wrong
                continue
            if each.use_cache and key in cache:
                value = cache[key]
            else:
                value = await each.call(**arguments)  # type: ignore[misc]  # FastAPI's type allows None
                cache.setdefault(key, value)
            if each.name:
                values[each.name] = value
        for of, read in readers:
            some, wrong = read(of(request))
            values |= some
            errors += wrong
        if wanted.body_params:
            some, wrong = await request_body_to_args(wanted.body_params, body, embed)
            values |= some
            errors += wrong
        return values, errors

    return solve


def _reader(source: str, wanted: Sequence[ModelField]) -> Callable[[Any], tuple[Values, Errors]]:
    """Return what reads these parameters: FastAPI's function, or a shortcut to the same for the two common kinds."""
    if all(map(_is_plain, wanted)):
        place = source.removesuffix("_params")
        return partial(_read_plain, [(field, (place, _alias(field))) for field in wanted])
    if source == "query_params" and len(wanted) == 1 and (model := _get_param_model(wanted[0])):
        own = get_cached_model_fields(model)
        if all(map(_is_plain, own)) and wanted[0].field_info.annotation is model:
            return partial(_read_query, wanted[0], [_alias(field) for field in own])
    return partial(request_params_to_args, wanted)


def _is_plain(field: ModelField) -> bool:
    """Return whether this is one value under one name."""
    is_sequence = field_annotation_is_sequence(field.field_info.annotation)
    return not is_sequence and _get_param_model(field) is None and len(_get_param_aliases(field)) == 1


def _alias(field: ModelField) -> str:
    [(_, alias)] = _get_param_aliases(field)
    return alias


def _read_plain(
    wanted: Sequence[tuple[ModelField, tuple[str, str]]], received: Mapping[str, Any]
) -> tuple[Values, Errors]:
    values: Values = {}
    errors: Errors = []
    for field, place in wanted:
        value = received.get(place[1])
        value, wrong = _validate_value_with_model_field(
            field=field, value=Undefined if value is None else value, values=values, loc=place
        )
        errors += wrong
        if not wrong:
            values[field.name] = value
    return values, errors


def _read_query(field: ModelField, aliases: Sequence[str], received: QueryParams) -> tuple[Values, Errors]:
    pairs = received.multi_items()
    values = dict(pairs)
    if len(values) < len(pairs):  # a name comes twice
        return request_params_to_args([field], received)
    value, errors = field.validate({name: values[name] for name in aliases if name in values} | values, loc=("query",))
    return {} if errors else {field.name: value}, errors


async def _body(request: Request) -> object:
    """Return the body as FastAPI reads it: Undefined if there is none, bytes if it is not JSON. Raises as FastAPI."""
    try:
        content = await request.body()
        if not content:
            return Undefined
        return await request.json() if _is_json(request.headers.get("content-type", "")) else content
    except JSONDecodeError as error:
        wrong = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([wrong | {"ctx": {"error": error.msg}}], body=error.doc) from error
    except HTTPException:
        raise
    except Exception as error:
        raise HTTPException(400, "There was an error parsing the body") from error


@lru_cache
def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def allowed_methods(request: Request) -> list[str]:
    """Return the methods that routes have at this path. Starlette names those of the first route only."""

    def is_served(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [*[method for method in METHODS if is_served("GET" if method == "HEAD" else method)], "OPTIONS"]
