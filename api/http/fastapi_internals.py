"""Everything here that relies on internals of FastAPI and Starlette, so that an upgrade has one file to check.

- `Route` replaces `APIRoute.app`, and validates by FastAPI's `Dependant`, `ModelField` and what is imported below.
  The CPU time of a route alone: 39 → 4.5 µs to read a row, 51 → 5 a page, 60 → 10 for a new one. That is a fifth of the
  whole request.
- `allowed_methods` asks `BaseRoute.matches`. It saves no time: nothing public tells all methods of a path.

pyproject.toml bounds both to the minor versions that tests/http/test_fastapi_internals.py was run with.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import fields
from email.message import Message
from functools import lru_cache, partial
from inspect import signature
from operator import attrgetter
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from fastapi._compat import ModelField, Undefined, field_annotation_is_sequence, get_cached_model_fields
from fastapi.dependencies.models import Dependant, _is_async_gen_callable, _is_coroutine_callable, _is_gen_callable
from fastapi.dependencies.utils import (
    _get_multidict_extras,
    _get_multidict_value,
    _get_param_aliases,
    _get_param_model,
    _validate_value_with_model_field,
)
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form, Header, Query
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api.http.conditions import NAMES, unmet_without_etag
from api.http.json_body import read_json

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

# Where parameters are, in FastAPI's order: the attribute of a request that has them.
SOURCES = {"path": "path_params", "query": "query_params", "header": "headers", "cookie": "cookies"}
# What FastAPI finds in the signature of a dependency and of a handler, as far as `Route` serves it.
OF_DEPENDENCY = {"name", "call", "path", "request_param_name", "scope", "use_cache"}
OF_HANDLER = {*OF_DEPENDENCY, *(f"{source}_params" for source in SOURCES), "body_params", "dependencies"}


class Param(NamedTuple):
    """A parameter of a handler, or its body."""

    name: str
    field: ModelField
    loc: tuple[str, ...]  # where an error says that it is
    find: Callable[[Request], object] | None  # in a request: Undefined if it was not sent. None for the body
    missing: Callable[[], tuple[Any, list[Any]]]  # its default, or an error


class Route(APIRoute):
    """FastAPI's route, without what FastAPI finds out anew in each request.

    It validates by the same fields in the same order, and gives the same responses, but for this:

    - Who is calling is found out first, then what the other dependencies check; only then is the body read.
    - A parameter of the query that is sent twice is refused, unless it is a list; lines of one header are joined.
    - JSON is UTF-8 and has no name twice in one object: `api.http.json_body`.
    - If-Match and If-None-Match are refused where they cannot hold, unless the handler takes both.

    It serves coroutine functions that return a Response and take parameters, one body of JSON, the request, and
    dependencies: coroutine functions that take the request at most. Give it to `FastAPI(routes=…)`: `include_router`
    would make FastAPI's own handler of it.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:  # noqa: ANN401 - FastAPI's
        """Make FastAPI's route, then replace its ASGI app. Raises TypeError for what it does not serve."""
        super().__init__(path, endpoint, **options)
        if reasons := "; ".join(_refusals(self)):
            raise TypeError(f"{Route.__module__}.Route does not serve {self.name}: {reasons}")
        found = sorted(self.dependant.dependencies, key=lambda each: not isinstance(each.call, SecurityBase))
        self._dependencies = [(each, (each.call, each.scope)) for each in found]
        self._params = [*_params(self.dependant)]
        self._has_etag = {*NAMES.values()} <= {_alias(field) for field in self.dependant.header_params}
        self.path = self.path_format  # without what a parameter may match: the log and the document have its name
        self.app = self._respond

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        values = await self._call_dependencies(request)
        body = await _body(request) if self.body_field else Undefined
        errors: list[Any] = [] if self._has_etag else [*unmet_without_etag(scope["headers"])]
        for name, field, loc, find, missing in self._params:
            value = find(request) if find else body
            values[name], wrong = missing() if value is Undefined else field.validate(value, loc=loc)
            errors += wrong
        if errors:
            raise RequestValidationError(errors, body=None if body is Undefined else body)
        response = await self.endpoint(**values)
        await response(scope, receive, send)

    async def _call_dependencies(self, request: Request) -> dict[str, Any]:
        """Return the request and the results of dependencies, by the names that the handler has for them."""
        name = self.dependant.request_param_name
        values: dict[str, Any] = {name: request} if name else {}
        results: dict[object, Any] = {}
        for each, key in self._dependencies:
            if each.use_cache and key in results:
                result = results[key]
            else:
                call: Any = each.call
                result = await (call(**{each.request_param_name: request}) if each.request_param_name else call())
                results.setdefault(key, result)
            if each.name:
                values[each.name] = result
        return values


def _params(wanted: Dependant) -> Iterator[Param]:
    """Yield what is validated for a handler, in FastAPI's order."""
    for source, attribute in SOURCES.items():
        for field in getattr(wanted, f"{source}_params"):
            if model := _get_param_model(field):
                yield _param(field, (source,), _query_finder(get_cached_model_fields(model)))
            else:
                yield _param(field, (source, _alias(field)), _finder(attrgetter(attribute), field))
    for field in wanted.body_params:
        yield _param(field, ("body",), None)


def _param(field: ModelField, loc: tuple[str, ...], find: Callable[[Request], object] | None) -> Param:
    info = field.field_info
    missing = partial(_validate_value_with_model_field, field=field, value=Undefined, values={}, loc=loc)
    if not info.is_required() and field.default is None and not info.validate_default:
        return Param(field.name, field, loc, find, lambda: (None, []))  # the same, for nearly all that is optional
    return Param(field.name, field, loc, find, missing)


def _alias(field: ModelField) -> str:
    return _get_param_aliases(field)[0][1]


def _finder(place: Callable[[Request], Any], field: ModelField) -> Callable[[Request], object]:
    alias = _alias(field)
    if field_annotation_is_sequence(field.field_info.annotation):
        return lambda request: _get_multidict_value(field, place(request), alias)
    if isinstance(field.field_info, Header):
        return partial(_header, alias.lower().encode())
    if isinstance(field.field_info, Query):
        return partial(_once, alias)
    return lambda request: place(request).get(alias, Undefined)


def _header(name: bytes, request: Request) -> object:
    """Return a header. Several lines are one, joined (RFC 9110, 5.3)."""
    lines = [value for sent, value in request.scope["headers"] if sent == name]
    return b", ".join(lines).decode("latin-1") if lines else Undefined


def _once(name: str, request: Request) -> object:
    """Return a parameter of the query. Raises RequestValidationError if it was sent twice."""
    values = request.query_params.getlist(name)
    _refuse_repeated([name] * len(values))
    return values[0] if values else Undefined


def _query_finder(members: list[ModelField]) -> Callable[[Request], object]:
    """Return what finds the values of a model whose members are all parameters of the query."""
    names = [_alias(member) for member in members]
    lists = {_alias(member) for member in members if field_annotation_is_sequence(member.field_info.annotation)}

    def find(request: Request) -> object:
        pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        last = dict(pairs)
        if len(last) < len(pairs):
            _refuse_repeated(name for name, _ in pairs if name not in lists)
        if not lists:
            return {name: last[name] for name in names if name in last} | last
        params = request.query_params
        values = {_alias(member): _get_multidict_value(member, params, _alias(member)) for member in members}
        sent = {name: value for name, value in values.items() if value is not Undefined}
        return sent | dict(_get_multidict_extras(params, {*names}))

    return find


def _refuse_repeated(names: Iterable[str]) -> None:
    """Raise RequestValidationError for names that are there twice: which value is meant depends on who reads it."""
    errors = [{"type": "repeated_parameter", "loc": ("query", name)} for name, n in Counter(names).items() if n > 1]
    if errors:
        raise RequestValidationError(errors)


def _refusals(route: APIRoute) -> Iterator[str]:
    """Yield the reasons why `Route` would not do what FastAPI does."""
    result = signature(route.endpoint, eval_str=True).return_annotation
    reasons = {
        "its return annotation is not a Response": not (isinstance(result, type) and issubclass(result, Response)),
        "it takes a form": route.body_field is not None and isinstance(route.body_field.field_info, Form),
        "it takes more than one body, or an embedded one": route._embed_body_fields,  # noqa: SLF001 - the base class's
        "it has a max_body_size": route.max_body_size is not None,
        "it has strict_content_type=False": not route.strict_content_type,
        "its dependencies can be overridden": route.dependency_overrides_provider is not None,
    }
    yield from (reason for reason, holds in reasons.items() if holds)
    yield from _refusals_of_call(route.dependant, OF_HANDLER)
    for each in route.dependant.dependencies:
        yield from _refusals_of_call(each, OF_DEPENDENCY)
    for param in _params(route.dependant):
        yield from _refusals_of_param(param)


def _refusals_of_call(wanted: Dependant, served: set[str]) -> Iterator[str]:
    call = wanted.call
    name = getattr(call, "__qualname__", repr(call))
    if not _is_coroutine_callable(call) or _is_gen_callable(call) or _is_async_gen_callable(call):
        yield f"{name} is not a coroutine function"
    for field in fields(wanted):
        if field.name not in served and getattr(wanted, field.name):
            yield f"{name} uses {field.name.removesuffix('_param_name')}"


def _refusals_of_param(param: Param) -> Iterator[str]:
    _, field, loc, find, _ = param
    model = _get_param_model(field) if find else None
    if model and not (loc == ("query",) and field.field_info.annotation is model):
        yield f"{field.name} is an optional model, or one of headers or cookies"
    members = get_cached_model_fields(model) if model else []
    if find and any(len(_get_param_aliases(each)) > 1 for each in (field, *members)):
        yield f"{field.name} has several aliases"


async def _body(request: Request) -> object:
    """Return the body: Undefined if there is none, bytes if it is not JSON. Raises RequestValidationError."""
    content = await request.body()
    if not content:
        return Undefined
    return read_json(content) if _is_json(request.headers.get("content-type", "")) else content


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
