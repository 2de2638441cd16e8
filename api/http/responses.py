"""Responses with JSON, most of it built by PostgreSQL."""

import json
from collections.abc import Mapping
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Scope

# No shared cache may keep what a caller was sent, and any other has to ask first: with the ETag, if there is one.
PRIVATE = ((b"cache-control", b"private, no-cache"), (b"vary", b"Authorization"))

RawHeaders = list[tuple[bytes, bytes]]


def keep_private(headers: RawHeaders) -> None:
    """Add PRIVATE, unless the response says by itself how it may be cached."""
    if b"cache-control" not in dict(headers):
        headers += PRIVATE


def json_response(
    content: str | Mapping[str, object],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    media_type: str = "application/json",
) -> Response:
    """Return a response with `content`: JSON as it is, or an object to be written as JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    return Response(text, status, headers, media_type=media_type)


def root_path(scope: Scope) -> str:
    """Return the prefix that a proxy adds to the paths of the API, as in a URL: `/api`; nothing if there is none."""
    root = scope.get("root_path", "").strip("/")
    return f"/{quote(root)}" if root else ""
