"""Users with tasks of their own, who also try to reach those of others."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.soak.client import Caller, Client
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.tasks import OWN, Tasks

OTHERS = 0.08  # the part of the steps that are tried with rows of others


@dataclass
class World:
    """What everybody shares. `new_caller` takes a user's id and the tenants whose rows they may see."""

    client: Client
    ledger: Ledger
    chance: random.Random
    new_caller: Callable[..., Caller]
    is_over: bool = False
    people: list["Person"] = field(default_factory=list)

    def tasks(self, path: str, tenant: str) -> Tasks:
        """Return the tasks of a tenant."""
        return Tasks(self.client, self.ledger, self.chance, path, tenant)


class Person:
    """A user with tasks of their own."""

    def __init__(self, world: World, number: int) -> None:
        """Be the user of this number."""
        self._world = world
        user = f"person-{number}"
        self._caller = world.new_caller(user, user)
        self.tasks = world.tasks(OWN, user)
        world.people.append(self)

    async def live(self) -> None:
        """Send requests one after the other, until it is over."""
        chance = self._world.chance
        while not self._world.is_over:
            other = chance.choice(self._world.people)
            if chance.random() < OTHERS and other is not self:
                await other.tasks.refuse(self._caller, 404, 404)
            else:
                await self.tasks.step(self._caller)
