"""Answers whose JSON PostgreSQL has built."""

from collections.abc import Mapping

from starlette.responses import Response

from api.errors import NotFoundError

NO_SUCH_ROW = "You have nothing with this id."


def document(json: str | None, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return `json` as the answer. Raises NotFoundError for None: the query saw no such row."""
    if json is None:
        raise NotFoundError(NO_SUCH_ROW)
    return Response(json, status, headers, media_type="application/json")
