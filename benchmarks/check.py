"""Before anything is timed: each contender responds correctly, and Partywall the same with and without policies."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2

from benchmarks.calls import call, content, has_status
from benchmarks.servers import CEILING, NO_RLS, PARTYWALL, THREE_TRIPS, Server
from benchmarks.stage import BenchmarkError, Rows, Stage

FIELDS = ["id", "user_id", "text", "completed", "order", "created_at", "updated_at", "completed_at"]
PAGE = 50
USER, OTHER_USER = 3, 4
TEXT = "Call the plumber about the leak, 99999999"  # as long as every other


def check(stage: Stage, servers: Sequence[Server], rows: Rows) -> None:
    """Try each scenario on each server, reads before writes. Raises BenchmarkError when a response is wrong."""
    read = {}
    for server in servers:
        with _calling(stage, server) as client:
            read[server.contender.name] = _read(server, client, rows)
    for other in (NO_RLS, THREE_TRIPS):
        if read.get(other.name, read[PARTYWALL.name]) != read[PARTYWALL.name]:
            raise BenchmarkError(f"{other.name} does not return the same bytes as {PARTYWALL.name}")
    for server in servers:
        with _calling(stage, server) as client:
            _write(server, client, rows)


def _read(server: Server, client: httpx2.Client, rows: Rows) -> list[bytes]:
    """Return the responses, which should be the same from every server that reads the same rows."""
    ids = [rows.task_id(USER, task) for task in reversed(range(rows.tasks))]
    page = call(client, server, "list_50")
    _expect(server, page, 200)
    items = content(page)["items"]
    _expect(server, page, 200, correct=len(items) == PAGE and all(_is_task(server, item) for item in items))
    task = call(client, server, "read_one", f"bench-{USER}", ids[7])
    _expect(server, task, 200)
    if server.contender is not CEILING:
        _expect(server, page, 200, correct=[item["id"] for item in items] == ids[:PAGE])
        _expect(server, task, 200, correct=content(task) == items[7])
        not_own = call(client, server, "read_one", f"bench-{OTHER_USER}", rows.task_id(OTHER_USER, 7))
        _expect(server, not_own, 404)
    client.headers["Authorization"] = "Bearer forged"
    _expect(server, call(client, server, "list_50"), 401)
    return [page.content, task.content, task.headers.get("ETag", "").encode()]


def _write(server: Server, client: httpx2.Client, rows: Rows) -> None:
    own, not_own = rows.task_id(USER, 9), rows.task_id(OTHER_USER, 9)
    created = call(client, server, "create", text=TEXT, order=7)
    _expect(server, created, 201)
    patched = call(client, server, "patch", f"bench-{USER}", own, text=TEXT)
    _expect(server, patched, 200)
    if server.contender is not CEILING:
        correct = content(created).items() >= {"user_id": f"bench-{USER}", "text": TEXT, "order": 7}.items()
        _expect(server, created, 201, correct=correct and _is_task(server, content(created)))
        _expect(server, patched, 200, correct=content(patched).items() >= {"id": own, "text": TEXT}.items())
        again = _read_committed(server, client, own, patched)
        _expect(server, again, 200, correct=content(again) == content(patched))
        foreign = call(client, server, "patch", f"bench-{OTHER_USER}", not_own, text=TEXT)
        _expect(server, foreign, 404)


def _read_committed(server: Server, client: httpx2.Client, task_id: str, written: httpx2.Response) -> httpx2.Response:
    """Return the task, as soon as it is the one that was written: naive_rls commits after it has responded."""
    for _ in range(50):
        response = call(client, server, "read_one", f"bench-{USER}", task_id)
        if content(response) == content(written):
            break
        time.sleep(0.02)
    return response


def _expect(server: Server, response: httpx2.Response, status: int, *, correct: bool = True) -> None:
    """Raise BenchmarkError unless the response has this status and is correct."""
    if not has_status(server, response, status) or not correct:
        request = f"{response.request.method} {response.request.url.path}"
        raise BenchmarkError(f"{server.contender.name}: {request} got {response.status_code} {response.text[:500]}")


def _is_task(server: Server, item: dict[str, Any]) -> bool:
    # The ceiling has one constant task; a task of any other user has come from the database.
    owner = 0 if server.contender is CEILING else USER
    return [*item] == FIELDS and item["user_id"] == f"bench-{owner}"


@contextmanager
def _calling(stage: Stage, server: Server) -> Iterator[httpx2.Client]:
    """Give a client that calls as USER."""
    headers = {"Authorization": f"Bearer {stage.token(USER)}"}
    with httpx2.Client(base_url=server.url, headers=headers) as client:
        yield client
