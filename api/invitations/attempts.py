"""How often one user may try an invitation. Tokens cannot be guessed; this keeps those who try from being a burden."""

from cachetools import TTLCache

from api.http.problems import TooManyAttemptsError

ATTEMPTS = 10  # per worker
WINDOW = 60  # seconds, from the first of them
MOST_USERS = 100_000


class Attempts:
    """Counts the attempts of each user."""

    def __init__(self) -> None:
        """Start with none."""
        self._counts: TTLCache[str, list[None]] = TTLCache(MOST_USERS, WINDOW)

    def count(self, user_id: str) -> None:
        """Count an attempt. Raises TooManyAttemptsError after too many of one user."""
        made = self._counts.setdefault(user_id, [])  # expires a window after the first one, however many follow
        if len(made) == ATTEMPTS:
            raise TooManyAttemptsError(
                "You have tried too many invitations. Wait a minute.", headers={"Retry-After": str(WINDOW)}
            )
        made.append(None)
