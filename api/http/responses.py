"""Responses with JSON, most of it built by PostgreSQL."""

import json
from collections.abc import Mapping

from starlette.responses import Response

# Of every response to a caller: it is kept by no shared cache, and by no other without asking (ETag) again.
PRIVATE = [(b"cache-control", b"private, no-cache"), (b"vary", b"Authorization")]
NOSNIFF = (b"x-content-type-options", b"nosniff")  # of every response


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
