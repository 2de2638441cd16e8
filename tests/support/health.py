"""What /health says, and what tenants are told while the API cannot serve them."""

import time
from collections.abc import Callable

import httpx2
from alembic.config import Config
from alembic.script import ScriptDirectory

from db.audit import state
from tests.support.database import ROOT
from tests.support.tokens import bearer, make_token

HEAD = ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).get_current_head()
# A check of the policies that takes four seconds, and finds nothing. The audit says that it was installed so.
PAUSE = """
do $$
begin
    execute format('create or replace view audit.findings as select * from (%1$s) as swift
        union all select %2$L, %3$L || pg_sleep(4)::text, %2$L, %2$L, %2$L, %2$L, %2$L',
        rtrim(pg_get_viewdef('audit.findings'), ';'), '', 'info');
end
$$;
"""
SLOW = "".join([PAUSE, state.record("A slow one")])
HEALTHY = {"status": "ok", "database": "ok", "revision": HEAD}


def state_of(response: httpx2.Response) -> dict[str, object]:
    """Return what a health route says of the database but for the age of that, which is a number of seconds."""
    state: dict[str, object] = response.json()
    age = state.pop("checked_seconds_ago")
    assert isinstance(age, float)
    assert age >= 0
    return state


def list_tasks(client: httpx2.Client) -> httpx2.Response:
    return client.get("/tasks", headers=bearer(make_token("alice")))


def assert_unavailable(response: httpx2.Response, **members: object) -> None:
    """The response is a 503 in the shape of all errors, and has these members besides."""
    assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
    problem = response.json()
    problem.pop("checked_seconds_ago", None)
    assert problem.keys() - members.keys() == {"type", "title", "status", "detail", "code", "request_id"}
    assert {name: problem.get(name, "absent") for name in members} == members


def wait_for_status(ask: Callable[[], httpx2.Response], status: int, seconds: float = 5) -> httpx2.Response:
    """Repeat the request until its status is `status`; return the last response after `seconds` at the latest."""
    deadline = time.monotonic() + seconds
    while (response := ask()).status_code != status and time.monotonic() < deadline:
        time.sleep(0.02)
    return response
