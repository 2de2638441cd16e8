"""One row and its version: 404, 412 or 304 (RFC 9110, 13).

The entity tag of a row is its `updated_at` in quotes, exactly as its JSON has it, so whoever has a row of a list has
its ETag. A statement returns it as `to_json(t.updated_at)::text`. The table's trigger moves it strictly forward.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

from fastapi import Header
from pydantic import WithJsonSchema
from starlette.responses import Response

from api.http import examples
from api.http.problems import INVALID, InvalidInputError, NotFoundError, PreconditionFailedError
from api.http.responses import json_response

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_ANY_OR_TAGS = rf"^(\*|[ \t,]*({_TAG.pattern}[ \t,]*)+)$"  # as JavaScript reads it too: it is in the document

STALE = "It has changed since you read it. Read it again, then decide."

Row = TypeVar("Row")  # asyncpg.Record is a sequence, but does not say so

IfMatch = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": _ANY_OR_TAGS, "examples": [examples.ETAG]}),
    Header(alias="If-Match", description="Only if it still has this ETag."),
]
IfNoneMatch = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "examples": [examples.ETAG]}),
    Header(alias="If-None-Match", description="Respond with 304 if it still has this ETag."),
]


def expected_etags(if_match: str | None) -> list[str] | None:
    """Return the ETags of which the row must have one; None if any will do. Weak ones match none (RFC 9110, 13.1.1).

    Raises InvalidInputError for what is no list of ETags: it would match none either, and look like a change.
    """
    if if_match is None or if_match == "*":
        return None
    if not re.fullmatch(_ANY_OR_TAGS, if_match):
        detail = "must be * or quoted ETags exactly as returned"
        raise InvalidInputError(INVALID, {"parameter": "If-Match", "detail": detail})
    return [tag for weak, tag in _TAG.findall(if_match) if not weak]


def row_response(body: str, etag: str, if_none_match: str | None = None) -> Response:
    """Return the JSON of a row with its ETag; 304 if the client has it: a weak comparison, W/ does not matter."""
    if if_none_match is not None and (
        if_none_match == "*" or any(etag == tag for _, tag in _TAG.findall(if_none_match))
    ):
        return Response(status_code=304, headers={"ETag": etag})
    return json_response(body, headers={"ETag": etag})


def one_or_404(rows: Sequence[Row], missing: str) -> Row:
    """Return the one row that a statement for an id has found. Raises NotFoundError, which says `missing`."""
    if not rows:
        raise NotFoundError(missing)
    return rows[0]


def raise_missing_or_stale(current: Sequence[Iterable[Any]], missing: str) -> NoReturn:
    """Raise the reason why a write has found no row: NotFoundError, or PreconditionFailedError with the ETag.

    `current` is what reading the row without If-Match gives: its body and its ETag, or nothing.
    """
    _, etag = one_or_404(current, missing)
    raise PreconditionFailedError(STALE, headers={"ETag": etag})
