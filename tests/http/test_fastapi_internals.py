"""`api.http.fastapi_internals.Route` does what `fastapi.routing.APIRoute` does, or refuses the handler.

Where it means to do something else, a test below says so.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Annotated, Any, NamedTuple

import httpx2
import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    Security,
)
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, Json
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection

from api.http.etags import IfMatch, IfNoneMatch
from api.http.fastapi_internals import Route
from api.tasks.examples import TASK_ID
from api.tasks.models import TaskCreate, TaskId, TaskListQuery, TaskUpdate

Handler = Callable[..., Any]

CALLS: list[str] = []
"""What ran while a request was served, in this order."""


class Sent(NamedTuple):
    """A request."""

    body: bytes = b""
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    path: str = TASK_ID


@cache
def app_of(route_class: type[APIRoute], handler: Handler) -> FastAPI:
    """Return an app whose one route is of this class. It shows all of a validation error."""
    router = APIRouter(route_class=route_class)
    router.add_api_route("/tasks/{task_id}", handler, methods=["PATCH"], dependencies=[Depends(note)])
    app = FastAPI(routes=router.routes)

    @app.exception_handler(RequestValidationError)
    async def show(_: Request, error: RequestValidationError) -> Response:
        return Response(ascii([error.errors(), error.body]), 422)

    return app


def ask(app: FastAPI, sent: Sent) -> tuple[int, bytes, list[tuple[str, str]], list[str]]:
    """Return the response, and what ran meanwhile."""

    async def send() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://api") as client:
            url = f"/tasks/{sent.path}?{sent.query}"
            return await client.patch(url, content=sent.body, headers=list(sent.headers))

    CALLS.clear()
    response = asyncio.run(send())
    return response.status_code, response.content, response.headers.multi_items(), [*CALLS]


def assert_same(handler: Handler, sent: Sent) -> int:
    """Compare both routes; return the status."""
    ours, theirs = (ask(app_of(route_class, handler), sent) for route_class in (Route, APIRoute))
    assert ours == theirs
    return ours[0]


async def note() -> None:
    """Give nothing to the handler."""
    CALLS.append("note")


async def caller(request: Request) -> str:
    """Return who is calling."""
    CALLS.append("caller")
    if "X-Caller" not in request.headers:
        raise HTTPException(401)
    return request.headers["X-Caller"]


def shown(*values: object) -> Response:
    """Return a response with all that a handler was given."""
    CALLS.append("handler")
    fields = [sorted(value.model_fields_set) for value in values if isinstance(value, BaseModel)]
    return Response(ascii([values, fields]))


# ---- one handler with what the routes of this API have, and many requests ------------------------------


class PageOfTags(TaskListQuery):
    """A query in which one parameter may come more than once."""

    tag: list[str] = Field(default_factory=list)


async def usual(
    task_id: TaskId,
    page: Annotated[TaskListQuery, Query()],
    task: TaskUpdate,
    who: Annotated[str, Depends(caller)],
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
    times: Annotated[int | None, Header(alias="X-Times", ge=1)] = None,
) -> Response:
    """Take everything that routes of this API take."""
    return shown(task_id, page, task, who, if_match, if_none_match, times)


async def with_tags(
    page: Annotated[PageOfTags, Query()], task: TaskUpdate, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
) -> Response:
    """Take a query with a list."""
    return shown(page, task, if_match, if_none_match)


JSON = (("Content-Type", "application/json"),)
WHO = (("X-Caller", "alice"),)
GOOD = b'{"order": 1, "text": "Buy milk"}'
BAD = Sent(b'{"order": "1"}', "limit=0", (*WHO, *JSON, ("X-Times", "x")), "7")
REQUESTS: dict[str, tuple[int, Sent]] = {
    "nothing but what is needed": (200, Sent(GOOD, "", WHO + JSON)),
    "everything": (
        200,
        Sent(
            b'{"order": 1.0, "completed": false, "text": "\\u00e9"}',
            "sort=-created&limit=7&completed=true&cursor=x",
            (*WHO, *JSON, ("If-Match", '"1"'), ("X-Times", "3")),
        ),
    ),
    "a merge patch": (200, Sent(GOOD, "", (*WHO, ("Content-Type", "application/merge-patch+json")))),
    "a type with a parameter": (200, Sent(GOOD, "", (*WHO, ("Content-Type", "application/json; charset=utf-8")))),
    "a type in capitals": (200, Sent(GOOD, "", (*WHO, ("Content-Type", "Application/JSON")))),
    "a UUID without hyphens": (200, Sent(GOOD, "", WHO + JSON, TASK_ID.replace("-", ""))),
    "a parameter without a value": (422, Sent(GOOD, "limit=", WHO + JSON)),
    "an unknown parameter": (422, Sent(GOOD, "page=3", WHO + JSON)),
    "a bad path": (422, Sent(GOOD, "", WHO + JSON, "7")),
    "a bad header": (422, Sent(GOOD, "", (*WHO, *JSON, ("X-Times", "0")))),
    "everything bad": (422, BAD),
    "no caller": (401, Sent(GOOD, "", JSON)),
    "no caller, and everything else bad": (401, BAD._replace(headers=JSON)),
    "no body": (422, Sent(b"", "", WHO + JSON)),
    "null": (422, Sent(b"null", "", WHO + JSON)),
    "a list": (422, Sent(b"[]", "", WHO + JSON)),
    "not a number": (422, Sent(b'{"order": NaN}', "", WHO + JSON)),
    "a lone surrogate": (422, Sent(b'{"text": "\\ud800"}', "", WHO + JSON)),
    "no type": (422, Sent(GOOD, "", WHO)),
    "another type": (422, Sent(GOOD, "", (*WHO, ("Content-Type", "text/plain")))),
    "a type that is none": (422, Sent(GOOD, "", (*WHO, ("Content-Type", "json")))),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_gets_the_response_that_fastapi_gives(name: str) -> None:
    status, sent = REQUESTS[name]
    assert assert_same(usual, sent) == status


NAMES = st.sampled_from(["limit", "sort", "completed", "tag", "page"])
VALUES = st.sampled_from(["", "1", "0", "true", "order", "-created", "x"])
VALUE: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from(["", "1", "Buy milk"]) | st.just([])
)
OBJECTS = st.dictionaries(st.sampled_from(["text", "order", "completed", "colour"]), VALUE)


LINES = [*WHO, *JSON, ("X-Times", "1"), ("X-Times", "0"), ("If-Match", "x")]


@given(
    query=st.lists(st.tuples(NAMES, VALUES), max_size=4, unique_by=lambda pair: pair[0]),
    body=OBJECTS | VALUE,
    headers=st.lists(st.sampled_from(LINES), unique_by=lambda line: line[0]),
    handler=st.sampled_from([usual, with_tags]),
)
def test_any_request_gets_the_response_that_fastapi_gives(
    query: list[tuple[str, str]], body: object, headers: list[tuple[str, str]], handler: Handler
) -> None:
    sent = Sent(json.dumps(body).encode(), "&".join(f"{name}={value}" for name, value in query), tuple(headers))
    assert_same(handler, sent)


# ---- what it does otherwise ----------------------------------------------------------------------------


OTHERWISE: dict[str, tuple[int, int, str, Sent]] = {
    "a name twice in the body": (200, 422, "repeated_name", Sent(b'{"order": 1, "order": 2}', "", WHO + JSON)),
    "a body in UTF-16": (200, 422, "not_utf8", Sent('{"order": 1}'.encode("utf-16"), "", WHO + JSON)),
    "no UTF-8": (400, 422, "not_utf8", Sent(b'{"text": "\xff"}', "", WHO + JSON)),
    "no JSON": (422, 422, "invalid_json", Sent(b'{"order": 1', "", WHO + JSON)),
    "nested deeply": (400, 422, "too_deep", Sent(b"[" * 30_000, "", WHO + JSON)),
    "many digits": (400, 422, "too_many_digits", Sent(b"1" * 5_000, "", WHO + JSON)),
    "no caller, and no JSON": (422, 401, "", Sent(b"{", "", JSON)),
    "a header twice": (200, 422, "", Sent(GOOD, "", (*WHO, *JSON, ("X-Times", "3"), ("X-Times", "4")))),
    "a parameter twice": (200, 422, "repeated_parameter", Sent(GOOD, "limit=3&limit=3", WHO + JSON)),
    "an unknown parameter twice": (422, 422, "repeated_parameter", Sent(GOOD, "page=3&page=4", WHO + JSON)),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_some_requests_get_another_response_than_from_fastapi(name: str) -> None:
    theirs, ours, what, sent = OTHERWISE[name]
    assert ask(app_of(APIRoute, usual), sent)[0] == theirs
    status, content, _, _ = ask(app_of(Route, usual), sent)
    assert (status, what in content.decode()) == (ours, True)


def test_a_list_in_the_query_may_have_several_values_and_nothing_else_may() -> None:
    for query in ("tag=a&tag=b", "tag=a&limit=3&tag=b", "tag="):
        assert assert_same(with_tags, Sent(GOOD, query, JSON)) == 200
    for query in ("limit=3&tag=a&limit=4", "tag=a&tag=b&page=1&page=2"):
        status, content, _, _ = ask(app_of(Route, with_tags), Sent(GOOD, query, JSON))
        assert (status, b"repeated_parameter" in content) == (422, True)


# ---- other handlers, each with all of these requests ---------------------------------------------------


BODIES = (
    *(b"", b"null", b"7", b'"x"', b"[]", b"{}", GOOD, b'{"order": "1"}', b'{"task": {"order": 1}}'),
    *(b'{"task": null}', b'{"old": {"text": "a"}, "new": {"text": "b"}}', b'{"old": {"text": "a"}}'),
)
QUERIES = (
    "",
    "limit=3",
    "limit=x",
    "limit=",
    "n=",
    "a=1&b=2",
    "x=1&b=2",
    "page=3",
    "json=7",
)
HEADERS = (
    *((), WHO, (("Content-Type", "text/plain"),), (("Content-Type", "application/problem+json; a=b"),)),
    *((("X-Plain", "1"),), (("X-Plain", "x"), ("X-Many", "1"), ("X-Many", "2")), (("x_kept", "1"), ("X-Plain", "1"))),
    *((("Cookie", "visit=1"),), (("Cookie", "visit=x; limit=3"),), (("Limit", "x"),)),
)
MANY = (
    *(Sent(body, "limit=3", (*JSON, *WHO, ("X-Plain", "1"), ("Cookie", "visit=1"))) for body in BODIES),
    *(Sent(GOOD, query, (*JSON, *WHO, ("X-Plain", "1"), ("Cookie", "visit=1"))) for query in QUERIES),
    *(Sent(GOOD, "limit=3", JSON + headers) for headers in HEADERS),
    *(Sent(GOOD, "limit=3", headers) for headers in HEADERS),
    Sent(GOOD, "limit=3", (*JSON, *WHO, ("X-Plain", "1"), ("Cookie", "visit=1")), "7"),
)


class Aliased(BaseModel):
    """A query with two names for one parameter."""

    either: int = Field(validation_alias=AliasChoices("a", "b"))


class Required(BaseModel):
    """Parameters without defaults."""

    a: int
    b: int


class Kept(BaseModel):
    """Parameters, of which unknown ones are kept."""

    model_config = ConfigDict(extra="allow")

    limit: int = 50
    n: list[int] = []


async def optional_body(task: TaskUpdate | None = None) -> Response:
    return shown(task)


async def plain_body(count: Annotated[int, Body()] = 5) -> Response:
    return shown(count)


async def text_body(text: Annotated[str | bytes, Body()]) -> Response:
    return shown(text)


async def headers(
    x_plain: Annotated[int, Header()],
    x_default: Annotated[str, Header()] = "none",
    x_checked: Annotated[int | None, Header(validate_default=True, ge=10)] = None,
    x_many: Annotated[list[int] | None, Header()] = None,
    x_kept: Annotated[str, Header(convert_underscores=False)] = "",
) -> Response:
    return shown(x_plain, x_default, x_checked, x_many, x_kept)


async def bad_default(x_checked: Annotated[int, Header(validate_default=True, ge=10)] = 5) -> Response:
    return shown(x_checked)


async def cookies(visit: Annotated[int, Cookie()], limit: Annotated[int, Cookie()] = 0) -> Response:
    return shown(visit, limit)


async def plain_parameters(
    task_id: str,
    limit: int,
    n: Annotated[list[int], Query()] = [],  # noqa: B006 - FastAPI copies it
    json: Annotated[Json[int] | None, Query()] = None,
) -> Response:
    return shown(task_id, limit, n, json)


async def query_model(page: Annotated[Kept, Query()]) -> Response:
    return shown(page, page.model_extra)


async def query_model_and_parameter(page: Annotated[Kept, Query()], limit: int) -> Response:
    return shown(page, limit)


async def required_query(page: Annotated[Required, Query()]) -> Response:
    return shown(page)


async def count(request: Request) -> int:
    """Return another number for each call."""
    CALLS.append(request.method)
    return len(CALLS)


async def dependencies(
    limit: Annotated[int, Depends(count)],
    again: Annotated[int, Depends(count)],
    uncached: Annotated[int, Depends(count, use_cache=False)],
    of_function: Annotated[int, Depends(count, scope="function")],
    who: Annotated[str, Depends(caller)],
    task: TaskUpdate,
) -> Response:
    return shown(limit, again, uncached, of_function, who, task)


async def uncached_first(
    uncached: Annotated[int, Depends(count, use_cache=False)], cached: Annotated[int, Depends(count)]
) -> Response:
    return shown(uncached, cached)


async def cached_again(
    cached: Annotated[int, Depends(count)],
    uncached: Annotated[int, Depends(count, use_cache=False)],
    again: Annotated[int, Depends(count)],
) -> Response:
    return shown(cached, uncached, again)


async def background(task: TaskUpdate) -> Response:
    return Response(task.text, background=BackgroundTask(CALLS.append, "background"))


async def refusal(task: TaskUpdate) -> Response:
    raise HTTPException(409, f"{task.order}", {"X-Task": "1"})


async def request_alone(request: Request) -> Response:
    return shown(await request.body(), request.url.path)


STATUSES: dict[Handler, set[int]] = {
    optional_body: {200, 422},
    plain_body: {200, 422},
    text_body: {200, 422},
    headers: {200, 422},
    bad_default: {422},
    cookies: {200, 422},
    plain_parameters: {200, 422},
    query_model: {200, 422},
    query_model_and_parameter: {200, 422},
    dependencies: {200, 401, 422},
    required_query: {200, 422},
    uncached_first: {200},
    cached_again: {200},
    background: {200, 422},
    refusal: {409, 422},
    request_alone: {200},
}


@pytest.mark.parametrize("handler", STATUSES)
def test_every_handler_that_is_served_gives_the_responses_that_fastapi_gives(handler: Handler) -> None:
    assert {assert_same(handler, sent) for sent in MANY} == STATUSES[handler]


# ---- what is refused -----------------------------------------------------------------------------------


async def coroutine(task: TaskUpdate) -> Response:
    return shown(task)


async def embedded(task: Annotated[TaskUpdate, Body(embed=True)]) -> Response:
    return shown(task)


async def two_bodies(old: TaskCreate, new: TaskCreate) -> Response:
    return shown(old, new)


async def header_model(sent: Annotated[Kept, Header()]) -> Response:
    return shown(sent.limit, sent.n)


async def optional_query_model(page: Annotated[TaskListQuery | None, Query()] = None) -> Response:
    return shown(page)


async def query_aliases(either: Annotated[int, Query(validation_alias=AliasChoices("a", "b"))]) -> Response:
    return shown(either)


async def aliased_member(page: Annotated[Aliased, Query()]) -> Response:
    return shown(page)


def function() -> Response:
    return Response()


async def generator() -> AsyncIterator[int]:
    yield 1


async def model() -> TaskUpdate:
    return TaskUpdate(order=1)


async def unannotated():  # type: ignore[no-untyped-def]  # noqa: ANN201
    return Response()


async def changes_the_response(response: Response) -> Response:
    return response


async def in_background(tasks: BackgroundTasks) -> Response:
    tasks.add_task(CALLS.append, "background")
    return Response()


async def of_connection(connection: HTTPConnection) -> Response:
    return Response(connection.url.path)


async def form(text: Annotated[str, Form()]) -> Response:
    return Response(text)


def yields() -> Iterator[None]:
    yield


async def yields_too() -> AsyncIterator[None]:
    yield


async def scopes(wanted: SecurityScopes) -> None:
    CALLS.extend(wanted.scopes)


async def nested(_: Annotated[None, Depends(note)]) -> None:
    """Depend on a dependency."""


async def of_parameter(limit: int) -> None:
    CALLS.append(str(limit))


async def of_body(task: TaskUpdate) -> None:
    CALLS.append(task.text)


def depending(dependency: Any) -> Handler:
    """Return a handler with this dependency."""

    async def handler(_: Annotated[None, dependency]) -> Response:
        return Response()

    return handler


REFUSED: dict[str, tuple[Handler, dict[str, Any], str]] = {
    "a function": (function, {}, "function is not a coroutine function"),
    "a generator": (generator, {}, "generator is not a coroutine function"),
    "a model": (model, {}, "its return annotation is not a Response"),
    "no annotation": (unannotated, {}, "its return annotation is not a Response"),
    "a response to change": (changes_the_response, {}, "changes_the_response uses response"),
    "background tasks": (in_background, {}, "in_background uses background_tasks"),
    "a connection": (of_connection, {}, "of_connection uses http_connection"),
    "a form": (form, {}, "it takes a form"),
    "a limit": (coroutine, {"max_body_size": 0}, "it has a max_body_size"),
    "JSON of no type": (coroutine, {"strict_content_type": False}, "it has strict_content_type=False"),
    "overrides": (coroutine, {"dependency_overrides_provider": FastAPI()}, "its dependencies can be overridden"),
    "a dependency that is a function": (depending(Depends(function)), {}, "function is not a coroutine function"),
    "a dependency that yields": (depending(Depends(yields)), {}, "yields is not a coroutine function"),
    "a coroutine that yields": (depending(Depends(yields_too)), {}, "yields_too is not a coroutine function"),
    "a dependency of a dependency": (depending(Depends(nested)), {}, "nested uses dependencies"),
    "a dependency with a parameter": (depending(Depends(of_parameter)), {}, "of_parameter uses query_params"),
    "a dependency with a body": (depending(Depends(of_body)), {}, "of_body uses body_params"),
    "an embedded body": (embedded, {}, "it takes more than one body, or an embedded one"),
    "two bodies": (two_bodies, {}, "it takes more than one body, or an embedded one"),
    "a model of headers": (header_model, {}, "sent is an optional model, or one of headers or cookies"),
    "an optional query": (optional_query_model, {}, "page is an optional model, or one of headers or cookies"),
    "two names": (query_aliases, {}, "either has several aliases"),
    "two names in a model": (aliased_member, {}, "page has several aliases"),
    "a limit of calls": (depending(Depends(note, max_concurrency=1)), {}, "note uses concurrency"),
    "security scopes": (depending(Security(note, scopes=["a"])), {}, "note uses own_oauth_scopes"),
    "SecurityScopes": (depending(Depends(scopes)), {}, "scopes uses security_scopes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_served_is_refused_when_the_route_is_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.dependencies.utils.ensure_multipart_is_installed", lambda: None)  # it is not
    handler, options, reason = REFUSED[name]
    with pytest.raises(TypeError, match=f"does not serve {handler.__name__}: .*{reason}"):
        Route("/tasks", handler, methods=["PATCH"], **options)


def test_an_included_router_is_served_by_fastapi() -> None:
    router = APIRouter(route_class=Route)
    router.add_api_route("/tasks/{task_id}", usual, methods=["PATCH"])
    app = FastAPI()
    app.include_router(router, dependencies=[Depends(caller)])
    assert ask(app, Sent(GOOD, "", JSON))[0] == 401
    assert ask(app, Sent(GOOD, "", WHO + JSON))[3] == ["caller", "handler"]
