"""What `db.turns` promises: nobody takes what all share."""

import asyncio
import random

import pytest

from db.connect import DatabaseUnavailableError
from db.turns import TooManyRequestsError, Turns

pytestmark = pytest.mark.anyio


async def take(turns: Turns, *users: str) -> list[asyncio.Task[None]]:
    """Let users ask for a place, in this order; return their tasks, those that hold one are done."""
    asking = [asyncio.create_task(turns.take(user, seconds=5), name=user) for user in users]
    await asyncio.sleep(0)
    return asking


async def holders(asking: list[asyncio.Task[None]]) -> list[str]:
    """Return who holds a place, in the order in which they asked."""
    await asyncio.sleep(0)
    return [task.get_name() for task in asking if task.done()]


async def test_one_user_holds_half_of_the_places_at_most() -> None:
    asking = await take(Turns(6), *["alice"] * 9)

    assert await holders(asking) == ["alice"] * 3


@pytest.mark.parametrize("places", [1, 2, 3])
async def test_of_a_few_places_one_user_holds_one(places: int) -> None:
    asking = await take(Turns(places), *["alice"] * 3)

    assert await holders(asking) == ["alice"]


async def test_users_who_wait_take_turns_however_many_requests_each_has() -> None:
    turns = Turns(2)
    asking = await take(turns, "alice", "bob", *["alice"] * 100, "bob", "charlie", "charlie")

    turns.give_back("alice")
    turns.give_back("bob")
    assert await holders(asking) == ["alice", "bob", "alice", "bob"]
    turns.give_back("alice")
    assert await holders(asking) == ["alice", "bob", "alice", "bob", "charlie"]


async def test_a_place_is_not_kept_free_for_those_who_hold_enough() -> None:
    turns = Turns(4)
    asking = await take(turns, "alice", "alice", "alice", "bob", "charlie")

    assert await holders(asking) == ["alice", "alice", "bob", "charlie"]
    turns.give_back("alice")
    assert await holders(asking) == ["alice", "alice", "alice", "bob", "charlie"]


async def test_whoever_waits_too_long_is_told_whose_requests_are_in_the_way() -> None:
    turns = Turns(2)
    first = await take(turns, "alice", "bob")
    late = [asyncio.create_task(turns.take(user, seconds=0)) for user in ("alice", "charlie")]
    await asyncio.sleep(0.01)
    turns.end_late_waits()

    with pytest.raises(TooManyRequestsError):
        await late[0]
    with pytest.raises(DatabaseUnavailableError, match="in use"):
        await late[1]
    assert await holders(first) == ["alice", "bob"]


@pytest.mark.parametrize("seed", range(20))
async def test_no_place_is_lost_whatever_is_cancelled_when(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret, but the same every time
    turns = Turns(5)
    most = 0
    held: dict[str, int] = {}

    async def use(user: str) -> None:
        nonlocal most
        await turns.take(user, seconds=chance.choice([0, 5]))
        held[user] = held.get(user, 0) + 1
        most = max(most, sum(held.values()))
        assert held[user] <= turns.per_user
        try:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        finally:
            held[user] -= 1
            turns.give_back(user)

    tasks = [asyncio.create_task(use(chance.choice("abcdefg"))) for _ in range(200)]
    while not all(task.done() for task in tasks):
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
        if chance.random() < 0.1:
            turns.end_late_waits()
        await asyncio.sleep(0)
    failures = [task.exception() for task in tasks if not task.cancelled()]

    assert {type(failure) for failure in failures} <= {type(None), TooManyRequestsError, DatabaseUnavailableError}
    assert most == 5
    asking = await take(turns, *"vwxyz")
    assert await holders(asking) == [*"vwxyz"]
