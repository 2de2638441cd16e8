"""`api.http.fastapi_internals.Route` reads what FastAPI would read, and answers what FastAPI would answer."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http import fastapi_internals as routing
from api.http.etags import IfMatch
from api.http.fastapi_internals import Route
from api.http.problems import ApiError, UnauthorizedError, to_response
from api.tasks.examples import TASK_ID
from api.tasks.models import TaskCreate, TaskId, TaskListQuery, TaskUpdate

PATH = f"/tasks/{TASK_ID}"
JSON = {"Content-Type": "application/json"}
GOOD = b'{"order": 1, "text": "Buy milk"}'


class PageOfTags(TaskListQuery):
    """A query in which one parameter may come more than once."""

    tag: list[str] = Field(default_factory=list)


async def caller(request: Request) -> str:
    """Return who is calling."""
    if "X-Caller" not in request.headers:
        raise UnauthorizedError("Say who you are.")
    return request.headers["X-Caller"]


async def note(request: Request) -> None:
    """Find nothing wrong, and give nothing to the handler."""
    request.scope["noted"] = True


async def echo(
    task_id: TaskId,
    page: Annotated[PageOfTags, Query()],
    task: TaskUpdate,
    who: Annotated[str, Depends(caller)],
    if_match: IfMatch = None,
    times: Annotated[int | None, Header(alias="X-Times", ge=1)] = None,
) -> Response:
    """Answer with everything that was read."""
    models = [[repr(model), sorted(model.model_fields_set)] for model in (page, task)]
    return Response(json.dumps([repr(task_id), models, who, if_match, times]))


def app_of(route_class: type[APIRoute], handler: Callable[..., object] = echo) -> FastAPI:
    """Return an app whose one route is of this class."""
    router = APIRouter(route_class=route_class)
    router.add_api_route("/tasks/{task_id}", handler, methods=["PATCH"], dependencies=[Depends(note)])
    app = FastAPI(routes=router.routes)
    for kind in (ApiError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, partial(to_response, constraints={}))
    return app


def ask(app: FastAPI, path: str, body: bytes, headers: dict[str, str]) -> httpx2.Response:
    """Return what the app answers."""

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {"request_id": "one"}}, receive, send)

    async def send() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(named), base_url="http://api") as client:
            return await client.patch(path, content=body, headers=headers)

    return asyncio.run(send())


WHO = {"X-Caller": "alice"}
REQUESTS: dict[str, tuple[int, str, bytes, dict[str, str]]] = {
    "nothing but what is needed": (200, PATH, GOOD, WHO | JSON),
    "everything": (
        200,
        f"{PATH}?sort=-created&limit=7&completed=true&cursor=x",
        b'{"order": 1.0, "completed": false, "text": "\\u00e9"}',
        WHO | JSON | {"If-Match": '"1"', "X-Times": "3"},
    ),
    "a merge patch": (200, PATH, GOOD, WHO | {"Content-Type": "application/merge-patch+json"}),
    "a type with a parameter": (200, PATH, GOOD, WHO | {"Content-Type": "application/json; charset=utf-8"}),
    "a type in capitals": (200, PATH, GOOD, WHO | {"Content-Type": "Application/JSON"}),
    "a name twice in the body": (200, PATH, b'{"order": 1, "order": 2}', WHO | JSON),
    "a body in UTF-16": (200, PATH, '{"order": 1}'.encode("utf-16"), WHO | JSON),
    "a UUID without hyphens": (200, PATH.replace("-", ""), GOOD, WHO | JSON),
    "a parameter twice": (200, f"{PATH}?limit=3&limit=4", GOOD, WHO | JSON),
    "one of a list": (200, f"{PATH}?tag=a", GOOD, WHO | JSON),
    "two of a list": (200, f"{PATH}?tag=a&tag=b", GOOD, WHO | JSON),
    "a parameter twice, the last one bad": (422, f"{PATH}?limit=3&limit=x", GOOD, WHO | JSON),
    "a parameter without a value": (422, f"{PATH}?limit=", GOOD, WHO | JSON),
    "an unknown parameter": (422, f"{PATH}?page=3", GOOD, WHO | JSON),
    "a bad path": (422, "/tasks/7", GOOD, WHO | JSON),
    "a bad header": (422, PATH, GOOD, WHO | JSON | {"X-Times": "0"}),
    "everything bad": (422, "/tasks/7?limit=0", b'{"order": "1"}', WHO | JSON | {"X-Times": "x"}),
    "nobody": (401, PATH, GOOD, JSON),
    "nobody, and everything else bad": (401, "/tasks/7?limit=0", b'{"order": "1"}', JSON),
    "nobody, and no JSON": (422, PATH, b"{", JSON),
    "no JSON": (422, PATH, b'{"order": 1', WHO | JSON),
    "no UTF-8": (422, PATH, b'{"text": "\xff"}', WHO | JSON),
    "no body": (422, PATH, b"", WHO | JSON),
    "null": (422, PATH, b"null", WHO | JSON),
    "a list": (422, PATH, b"[]", WHO | JSON),
    "nested deeply": (422, PATH, b"[" * 30_000, WHO | JSON),
    "a number that is none": (422, PATH, b'{"order": NaN}', WHO | JSON),
    "a lone surrogate": (422, PATH, b'{"text": "\\ud800"}', WHO | JSON),
    "no type": (422, PATH, GOOD, WHO),
    "another type": (422, PATH, GOOD, WHO | {"Content-Type": "text/plain"}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_no_answer_depends_on_which_of_the_two_has_read_the_request(name: str) -> None:
    status, *request = REQUESTS[name]
    answer, theirs = (ask(app_of(route_class), *request) for route_class in (Route, APIRoute))  # type: ignore[arg-type]
    assert (answer.status_code, answer.content, answer.headers) == (theirs.status_code, theirs.content, theirs.headers)
    assert answer.status_code == status


def test_what_is_well_formed_is_never_left_to_fastapi(alice: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> Any:
        raise AssertionError("left to FastAPI")

    monkeypatch.setattr(routing, "request_response", refuse)
    task = alice.post("/tasks", json={"text": "Buy milk"}, headers={"Idempotency-Key": '"a"'})
    path, tag = task.headers["location"], {"If-Match": task.headers["etag"]}
    whole = {"text": "Buy bread", "completed": True, "order": 2}
    answers = [
        task,
        alice.get(path),
        alice.get(path, headers={"If-None-Match": task.headers["etag"]}),
        alice.get("/tasks"),
        alice.get("/tasks", params={"limit": 1, "sort": "-created", "completed": "false"}),
        alice.patch(path, json={"order": 1}, headers=tag),
        alice.patch(path, content=b'{"order": 2}', headers={"Content-Type": "application/merge-patch+json"}),
        alice.put(path, json=whole),
        alice.patch("/tasks", json={"tasks": [{"id": task.json()["id"], "order": 7}]}),
        alice.delete(path),
        alice.delete("/tasks", params={"completed": "true"}),
        *(alice.get(f"/health{path}") for path in ("", "/db", "/live")),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 304, *[200] * 6, 204, *[200] * 4]
    assert alice.get("/tasks", params={"limit": 0}).status_code == 500  # this is what it looks like


async def with_cookie(task_id: TaskId, cookie: Annotated[str, Cookie()]) -> Response:
    """Ask for what `Route` cannot read."""
    return Response(f"{task_id}{cookie}")


async def with_two_bodies(task_id: TaskId, old: TaskCreate, new: TaskCreate) -> Response:
    """Ask for what `Route` cannot read."""
    return Response(f"{task_id}{old}{new}")


async def with_a_plain_parameter(task_id: TaskId, limit: int = 50) -> Response:
    """Ask for what `Route` cannot read."""
    return Response(f"{task_id}{limit}")


async def with_the_response(task_id: TaskId, response: Response) -> Response:
    """Ask for what `Route` cannot read."""
    response.headers["X-Task"] = str(task_id)
    return response


async def a_page(page: Annotated[TaskListQuery, Query()]) -> TaskListQuery:
    """Return the page."""
    return page


async def with_a_dependency_that_reads(task_id: TaskId, page: Annotated[TaskListQuery, Depends(a_page)]) -> Response:
    """Ask for what `Route` cannot read."""
    return Response(f"{task_id}{page}")


@pytest.mark.parametrize(
    "handler",
    [with_cookie, with_two_bodies, with_a_plain_parameter, with_the_response, with_a_dependency_that_reads],
)
def test_a_handler_that_asks_for_more_than_can_be_read_is_refused_at_the_start(handler: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match=f"cannot read all that {handler.__name__} asks for"):
        app_of(Route, handler)
