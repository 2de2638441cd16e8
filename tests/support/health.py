"""What /health says, and what tenants are told while the API cannot serve them."""

import time
from collections.abc import Callable

import httpx2
from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.support.database import ROOT
from tests.support.tokens import bearer, make_token

HEAD = ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).get_current_head()
HEALTHY = {"status": "ok", "database": "ok", "revision": HEAD}


def list_tasks(client: httpx2.Client) -> httpx2.Response:
    return client.get("/tasks", headers=bearer(make_token("alice")))


def assert_unavailable(response: httpx2.Response, **members: object) -> None:
    """The response is a 503 in the shape of all errors, and has these members besides."""
    assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
    problem = response.json()
    assert problem.keys() - members.keys() == {"type", "title", "status", "detail", "code", "request_id"}
    assert {name: problem.get(name, "absent") for name in members} == members


def wait_for_status(ask: Callable[[], httpx2.Response], status: int, seconds: float = 5) -> httpx2.Response:
    """Repeat the request until its status is `status`; return the last response after `seconds` at the latest."""
    deadline = time.monotonic() + seconds
    while (response := ask()).status_code != status and time.monotonic() < deadline:
        time.sleep(0.02)
    return response
