"""Turns: who gets one of a few places when more callers want one than there are."""

import asyncio
from collections import deque
from itertools import chain

from db.connect import DatabaseUnavailableError


class AllInUseError(DatabaseUnavailableError):
    """Other users hold every place."""


class TooManyRequestsError(Exception):
    """One user has too many requests under way at the same time."""


class Turns:
    """Hands out places. A user may hold half of them, and users who wait take turns, each with a queue of their own.

    So whoever sends a thousand requests at once waits for themselves, and half of the places serve others when one
    user's requests hang on a locked row.
    """

    def __init__(self, places: int) -> None:
        """Have `places` places to hand out."""
        self.per_user = max(1, places // 2)
        self._loop = asyncio.get_running_loop()
        self._free = places
        self._held: dict[str, int] = {}  # places, by each user who holds any
        self._waiting: dict[str, deque[tuple[asyncio.Future[None], float]]] = {}  # until when; the next user first

    @property
    def waiting(self) -> int:
        """How many callers wait for a place."""
        return sum(not turn.done() for turn, _ in chain.from_iterable(self._waiting.values()))

    async def take(self, user: str, *, seconds: float) -> None:
        """Return when the user holds a place.

        Raises after `seconds`: TooManyRequestsError if the user's own requests hold all that one may, AllInUseError
        if those of others do.
        """
        held = self._held.get(user, 0)
        if self._free and held < self.per_user:
            self._free -= 1
            self._held[user] = held + 1
            return
        turn = self._loop.create_future()
        self._waiting.setdefault(user, deque()).append((turn, self._loop.time() + seconds))
        try:
            await turn
        except asyncio.CancelledError:
            if not (turn.cancelled() or turn.exception()):  # the turn came at the same moment
                self.give_back(user)
            raise

    def give_back(self, user: str) -> None:
        """Free a place of the user's, for whoever is next."""
        self._free += 1
        held = self._held[user] - 1
        if held:
            self._held[user] = held
        else:
            del self._held[user]
        if self._waiting:
            self._hand_out()

    def end_late_waits(self) -> None:
        """Raise the error of `take` in those who wait for too long."""
        now = self._loop.time()
        for user, queue in self._waiting.items():
            while queue and queue[0][1] < now:
                turn, _ = queue.popleft()
                if not turn.done():
                    turn.set_exception(self._why_late(user))
        self._waiting = {user: queue for user, queue in self._waiting.items() if queue}

    def end_waits(self) -> None:
        """Raise DatabaseUnavailableError in all who wait."""
        for turn, _ in chain.from_iterable(self._waiting.values()):
            if not turn.done():
                turn.set_exception(DatabaseUnavailableError("the requests before this one have failed"))
        self._waiting = {}

    def _hand_out(self) -> None:
        while self._free and (user := self._next()) is not None:
            queue = self._waiting.pop(user)
            turn, _ = queue.popleft()
            if queue:
                self._waiting[user] = queue  # behind the others
            if not turn.done():
                turn.set_result(None)
                self._free -= 1
                self._held[user] = self._held.get(user, 0) + 1

    def _next(self) -> str | None:
        return next((user for user in self._waiting if self._held.get(user, 0) < self.per_user), None)

    def _why_late(self, user: str) -> Exception:
        if self._held.get(user, 0) < self.per_user:
            return AllInUseError("all connections are in use")
        return TooManyRequestsError(f"{self.per_user} requests of this user are being served, and more are waiting")
