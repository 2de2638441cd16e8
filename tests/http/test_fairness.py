"""One user's requests are never in another's way, however many there are and whatever they wait for."""

from concurrent.futures import ThreadPoolExecutor

import httpx2
import psycopg
import pytest

from api.http.examples import PROBLEMS, REQUEST_ID
from tests.support.database import Url
from tests.support.routes import NEEDS_TOKEN, call
from tests.support.servers import caller, calling
from tests.support.tokens import bearer, make_token
from tests.support.waiting import held, wait_for

MANY = 40


def test_a_user_whose_requests_all_wait_for_a_lock_leaves_connections_to_others(
    base_url: str, alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    mine = alice.post("/tasks", json={"text": "Buy milk"}).headers["location"]
    lock = "select from app.tasks where user_id = 'alice' for update"

    with ThreadPoolExecutor(MANY) as threads, held(admin, lock):
        writes = [threads.submit(alice.patch, mine, json={"completed": True}, timeout=30) for _ in range(MANY)]
        wait_for(admin, 5)  # half of the pool
        with caller(base_url, "bob") as other:
            theirs = [other.post("/tasks", json={"text": f"Task {number}"}) for number in range(MANY)]
        assert [response.status_code for response in theirs] == [201] * MANY
        assert bob.get("/tasks?limit=200").json()["items"][0]["user_id"] == "bob"
        assert not any(write.done() for write in writes)
        admin.rollback()
        assert [write.result().status_code for write in writes] == [200] * MANY


def test_whoever_has_too_many_requests_under_way_is_told_so_and_nobody_else(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.ACQUIRE_TIMEOUT", 0.5)
    mine = alice.post("/tasks", json={"text": "Buy milk"}).headers["location"]
    lock = "select from app.tasks where user_id = 'alice' for update"

    with ThreadPoolExecutor(MANY) as threads, held(admin, lock):
        writes = [threads.submit(alice.patch, mine, json={"completed": True}, timeout=30) for _ in range(MANY)]
        refused = [response for write in writes if (response := write.result()).status_code == 429]
        busy = [response for write in writes if (response := write.result()).status_code == 503]
        assert bob.get("/tasks").status_code == 200

    assert len(busy) + len(refused) == MANY
    assert {response.headers["retry-after"] for response in [*busy, *refused]} == {"1"}
    assert "too many requests under way" in refused[0].json()["detail"]
    assert alice.get(mine).json()["completed"] is False


def test_every_route_says_so_as_documented(
    url: Url, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.ACQUIRE_TIMEOUT", 0)
    monkeypatch.setattr("db.pool.CHECK_INTERVAL", 0.02)
    alice = {**bearer(make_token("alice")), "X-Request-ID": REQUEST_ID}

    with calling(url("app_api")) as client, ThreadPoolExecutor(1) as threads:
        for route in NEEDS_TOKEN:
            with held(admin, "lock table app.tasks"):
                threads.submit(client.get, "/tasks", headers=alice)  # her half of the pool
                wait_for(admin, 1)
                response = call(client, route, headers=alice)
            assert (response.status_code, response.json()) == (429, PROBLEMS[429]["too many"]), route
            assert response.headers["retry-after"] == "1"
