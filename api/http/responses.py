"""Answers whose JSON PostgreSQL has built."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from starlette.responses import Response

from api.http.problems import NotFoundError

NO_SUCH_ROW = "You have nothing with this id."
Row = TypeVar("Row")  # asyncpg.Record is a sequence, but does not say so


def document(json: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `json` as the answer."""
    return Response(json, status, headers, media_type="application/json")


def only(rows: Sequence[Row]) -> Row:
    """Return the one row that a query for an id found. Raises NotFoundError if it saw none."""
    if not rows:
        raise NotFoundError(NO_SUCH_ROW)
    return rows[0]
