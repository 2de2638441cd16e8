"""Many users at once over a small pool, with errors, cancelled requests and disconnects among them."""

import asyncio
import random
from collections import Counter
from urllib.parse import urlsplit

import httpx2
import psycopg

from api.settings import Settings
from tests.support.tokens import bearer, make_token

USERS = [f"user-{number}" for number in range(40)]
ROUNDS = 12


async def use(client: httpx2.AsyncClient, user: str, chance: random.Random, paths: list[str]) -> Counter[int]:
    """Do what a user does, good and bad; check every response; return how often each status came."""
    headers = bearer(make_token(user))
    seen: Counter[int] = Counter()

    async def call(method: str, path: str, **body: object) -> httpx2.Response:
        response = await client.request(method, path, headers=headers, json=body or None)
        seen[response.status_code] += 1
        return response

    for number in range(ROUNDS):
        made = await call("POST", "/tasks", text=f"{user} {number}", order=chance.randrange(100))
        paths.append(made.headers["location"])
        mine, theirs = made.headers["location"], chance.choice(paths)
        assert (await call("PATCH", mine, completed=True)).json()["user_id"] == user
        await call("POST", "/tasks", text="")
        stolen = await call("PATCH", theirs, text="mine now")
        assert stolen.status_code in {200, 404}
        assert stolen.status_code == 404 or stolen.json()["user_id"] == user
        page = (await call("GET", "/tasks?limit=200")).json()["items"]
        assert {task["user_id"] for task in page} == {user}
        assert len(page) == number + 1
    return seen


async def time_out(client: httpx2.AsyncClient, user: str, chance: random.Random) -> None:
    """Send requests and do not wait for the responses."""
    for _ in range(ROUNDS):
        timeout = chance.random() * 0.02
        try:
            await client.get("/tasks?limit=200", headers=bearer(make_token(user)), timeout=timeout)
        except httpx2.TimeoutException:
            continue


async def hang_up(address: str, user: str, chance: random.Random) -> None:
    """Send a request, whole or in part, and close the connection."""
    url = urlsplit(address)
    request = (
        f"POST /tasks HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {make_token(user)}\r\n"
        'Content-Type: application/json\r\nContent-Length: 18\r\n\r\n{"text": "hang up"}'
    ).encode()
    for _ in range(ROUNDS):
        _, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(request[: chance.choice([20, len(request) - 5, len(request)])])
        await writer.drain()
        await asyncio.sleep(chance.random() * 0.01)
        writer.transport.abort()


def test_nobody_ever_sees_a_row_of_another_user_and_no_connection_stays_in_a_transaction(
    base_url: str, settings: Settings, admin: psycopg.Connection
) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret, but the same every time

    async def crowd() -> Counter[int]:
        paths: list[str] = []
        async with httpx2.AsyncClient(base_url=base_url, timeout=60) as client:
            users = [use(client, user, chance, paths) for user in USERS]
            disturbances = [time_out(client, user, chance) for user in USERS[:10]]
            disturbances += [hang_up(base_url, f"gone-{number}", chance) for number in range(10)]
            counts, _ = await asyncio.gather(asyncio.gather(*users), asyncio.gather(*disturbances))
        return sum(counts, Counter())

    seen = asyncio.run(crowd())

    assert set(seen) == {200, 201, 404, 422}  # and no 500, no 503
    assert seen[201] == len(USERS) * ROUNDS
    owners = admin.execute("""
        select user_id, count(*), bool_and(text in ('mine now', user_id || ' ' || split_part(text, ' ', 2)))
        from app.tasks where user_id like 'user-%' group by user_id
    """).fetchall()
    assert sorted(owners) == sorted((user, ROUNDS, True) for user in USERS)
    sessions = admin.execute(
        "select state from pg_stat_activity where application_name = 'partywall' and datname = current_database()"
    ).fetchall()
    assert {state for (state,) in sessions} == {"idle"}
    assert len(sessions) <= settings.database_pool_size
