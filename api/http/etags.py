"""Conditional requests (RFC 9110, 13): what a client has seen, against what there is.

The entity tag of a task is the number of the transaction that last wrote its row, `xmin`: PostgreSQL keeps it anyway,
and no write leaves it as it was.
"""

import re
from typing import Annotated

from fastapi import Header
from pydantic import WithJsonSchema
from starlette.responses import Response

from api.http import examples
from api.http.problems import INVALID, InvalidInputError, PreconditionFailedError

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ANY_OR_TAGS = rf"^(\*|[ \t,]*({_TAG.pattern}[ \t,]*)+)$"  # as JavaScript reads it too: it is in the document


IfMatch = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": _ANY_OR_TAGS, "examples": [examples.ETAG]}),
    Header(alias="If-Match", description="Only if the task still has this ETag."),
]
IfNoneMatch = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "examples": [examples.ETAG]}),
    Header(alias="If-None-Match", description="Answer 304 if the task still has this ETag."),
]


def versions(if_match: str | None) -> list[str] | None:
    """Return the versions of which one must be the current one; None if any will do. Weak tags match none.

    Raises InvalidInputError for what is no list of tags: it would match none either, and look like a change.
    """
    if if_match is None or if_match == "*":
        return None
    if not re.fullmatch(_ANY_OR_TAGS, if_match):
        raise InvalidInputError(
            INVALID, {"parameter": "If-Match", "detail": "must be ETags as they were answered, in their quotes, or *"}
        )
    return [tag for weak, tag in _TAG.findall(if_match) if not weak]


def is_seen(version: str, if_none_match: str | None) -> bool:
    """Return whether the client has this version. The comparison is a weak one: W/ does not matter."""
    if if_none_match is None:
        return False
    return if_none_match == "*" or any(version == tag for _, tag in _TAG.findall(if_none_match))


def etag(version: str) -> str:
    """Return a version as an entity tag."""
    return f'"{version}"'


def not_modified(version: str) -> Response:
    """Return the answer to a client that has this version."""
    return Response(status_code=304, headers={"ETag": etag(version)})


def precondition_failed(version: str) -> PreconditionFailedError:
    """Return the error for a client that has another version than this one, which it is told."""
    return PreconditionFailedError(
        "The task has changed since you read it. Read it again, then decide.", headers={"ETag": etag(version)}
    )
