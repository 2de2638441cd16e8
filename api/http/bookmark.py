"""Partywall-Bookmark: what a write answers, and what a read sends that has to see that write.

It is a time on the primary's clock that is not before the commit, in microseconds since 1970; clients need not know. It
costs no round trip, tells nothing about the writes of others, and every worker can compare it.
"""

import re
from collections.abc import Sequence

from fastapi.exceptions import RequestValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAME = "Partywall-Bookmark"
PATTERN = "^[0-9]{1,18}$"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_NAME = NAME.lower().encode()


def read_bookmark(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    """Return the bookmark that a request has sent, if any. Raises RequestValidationError for one that is malformed."""
    sent = [value for name, value in headers if name == _NAME]
    if not sent:
        return None
    text = b", ".join(sent).decode("latin-1")
    if not re.fullmatch(PATTERN, text, re.ASCII):
        raise RequestValidationError([{"type": "invalid_bookmark", "loc": ("header", NAME)}])
    return int(text)


class AddBookmark:
    """Adds a bookmark to each write that has succeeded. It is made when the response starts: after the commit."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope.get("method") not in WRITES:
            await self._app(scope, receive, send)
            return

        async def send_with_bookmark(message: Message) -> None:
            if message["type"] == "http.response.start" and 200 <= message["status"] < 300:  # noqa: PLR2004 - RFC 9110, 15.3
                bookmark = str(scope["state"]["replica"].bookmark()).encode()
                message["headers"] = [*message["headers"], (_NAME, bookmark)]
            await send(message)

        await self._app(scope, receive, send_with_bookmark)
