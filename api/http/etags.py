"""One row and its version: 404, 412 or 304 (RFC 9110, 13).

The entity tag of a row is its `updated_at` in quotes, exactly as its JSON has it, so whoever has a row of a list has
its ETag. A statement returns it as `to_json(t.updated_at)::text`. The table's trigger moves it strictly forward.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, NoReturn, TypeVar

from fastapi import Header
from pydantic import WithJsonSchema
from starlette.responses import Response

from api.http import examples
from api.http.codes import field_error
from api.http.conditions import ANY_OR_TAGS, has_tag, read_tags
from api.http.problems import INVALID, InvalidInputError, NotFoundError, PreconditionFailedError
from api.http.responses import json_response

STALE = "It has changed since you read it. Read it again, then decide."
EXCLUDED = "It has an ETag of If-None-Match."
WEAK = (
    "If-Match has its ETag with W/ in front, which never matches: a proxy that compresses puts it there. Leave W/ out."
)

Row = TypeVar("Row")  # asyncpg.Record is a sequence, but does not say so

IfMatch = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": ANY_OR_TAGS, "examples": [examples.ETAG]}),
    Header(alias="If-Match", description="Only if it still has this ETag, or one of several."),
]
# Of a read: a cache may send what it likes, and gets the row.
IfNoneMatch = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "examples": [examples.ETAG]}),
    Header(alias="If-None-Match", description="Respond with 304 if it still has this ETag, or one of several."),
]
UnlessMatch = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": ANY_OR_TAGS, "examples": ['"0"']}),
    Header(alias="If-None-Match", description="Only if it has none of these ETags."),
]


def expected_versions(if_match: str | None, if_none_match: str | None) -> tuple[list[str] | None, list[str] | None]:
    """Return each `updated_at` of which the row must have one, and those of which it must have none. None: any will do.

    Weak ETags match no If-Match (RFC 9110, 13.1.1). Raises InvalidInputError for what is no list of ETags: it would
    match none either, and look like a change.
    """
    expected, excluded = _etags("If-Match", if_match), _etags("If-None-Match", if_none_match, weak=True)
    return ([], None) if if_none_match == "*" else (_versions(expected), _versions(excluded))  # "*": no row has none


def _etags(name: str, value: str | None, *, weak: bool = False) -> list[str] | None:
    if value is None or value == "*":
        return None
    if (tags := read_tags(value)) is None:
        raise InvalidInputError(INVALID, field_error("invalid_etag", parameter=name))
    return [tag.opaque for tag in tags if weak or not tag.weak]


def _versions(etags: Iterable[str] | None) -> list[str] | None:
    """Return the instants of which these are the ETags, without those that no row can have."""
    return None if etags is None else [each[1:-1] for each in etags if _is_of_a_row(each)]


def _is_of_a_row(etag: str) -> bool:
    """Return whether PostgreSQL writes an instant so: another spelling of the same one is another ETag."""
    try:
        instant = datetime.fromisoformat(etag[1:-1])
    except ValueError:
        return False
    fraction = f".{instant.microsecond:06}".rstrip("0") if instant.microsecond else ""
    return etag == f'"{instant:%Y-%m-%dT%H:%M:%S}{fraction}+00:00"'


def row_response(body: str, etag: str, if_match: str | None = None, if_none_match: str | None = None) -> Response:
    """Return the JSON of a row with its ETag; 304 if the client has it. Raises PreconditionFailedError for If-Match."""
    if if_match is not None:
        expected = _etags("If-Match", if_match)
        if expected is not None and etag not in expected:
            raise _failed(etag, if_match)
    if if_none_match is not None and has_tag(if_none_match, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return json_response(body, headers={"ETag": etag})


def one_or_404(rows: Sequence[Row], missing: str) -> Row:
    """Return the one row that a statement for an id has found. Raises NotFoundError, which says `missing`."""
    if not rows:
        raise NotFoundError(missing)
    return rows[0]


def raise_missing_or_stale(
    current: Sequence[Iterable[Any]], missing: str, if_match: str | None, if_none_match: str | None
) -> NoReturn:
    """Raise the reason why a write has found no row: NotFoundError, or PreconditionFailedError with the ETag.

    `current` is what reading the row without conditions gives: its body and its ETag, or nothing.
    """
    _, etag = one_or_404(current, missing)
    raise _failed(etag, if_match, if_none_match)


def _failed(etag: str, if_match: str | None, if_none_match: str | None = None) -> PreconditionFailedError:
    if if_none_match is not None and has_tag(if_none_match, etag):
        detail = EXCLUDED
    else:  # a strong one would have matched
        detail = WEAK if if_match and if_match != "*" and has_tag(if_match, etag) else STALE
    return PreconditionFailedError(detail, headers={"ETag": etag})
