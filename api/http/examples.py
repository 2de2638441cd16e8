"""The examples of /openapi.json that belong to no resource: every kind of error.

A test asks for each of them and compares.
"""

from collections.abc import Mapping
from typing import Any

from api.http.codes import BY_STATUS, field_error
from api.http.problems import title

ETAG = '"2026-11-21T08:30:00.123456+00:00"'
BOOKMARK = "1763713800123456"
REQUEST_ID = "5f0c2a9e-8d5c-4a31-9a3c-0c9a4d9a7f10"
WORKSPACE_ID = "0198c0de-0000-7000-8000-00000000000a"

Problems = Mapping[str, Mapping[str, Any]]  # by what has happened


def problem(
    status: int, detail: str, *errors: Mapping[str, object], code: str = "", **extensions: object
) -> dict[str, Any]:
    """Return an error as `api.http.problems.problem` writes it."""
    code = code or BY_STATUS[status]
    content = {
        "type": f"/docs/errors#{code}",
        "title": title(status),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": REQUEST_ID,
    }
    return {**content, **extensions} | ({"errors": list(errors)} if errors else {})


PROBLEMS: Mapping[int, Problems] = {
    401: {
        "no token": problem(401, "Send the header Authorization: Bearer <token>.", code="missing_token"),
        "expired": problem(401, "The token is not valid: Signature has expired."),
    },
    412: {"changed": problem(412, "It has changed since you read it. Read it again, then decide.")},
    413: {"too large": problem(413, "The body is larger than 64 KiB.")},
    415: {"not JSON": problem(415, "Send the header Content-Type: application/json.")},
    422: {
        "body": problem(
            422,
            "The request is not valid; see errors.",
            field_error("too_short", pointer="#/text", limit=1),
            field_error("wrong_type", pointer="#/order", expected="integer"),
            field_error("unknown_field", pointer="#/colour"),
        ),
        "parameter": problem(
            422,
            "The request is not valid; see errors.",
            field_error("too_large", parameter="limit", limit=200),
        ),
        "cursor": problem(
            422,
            "The cursor is of another list. Start again without it, or go on with its sort and filter.",
            field_error("cursor_of_another_list", parameter="cursor", of="/tasks?sort=-created&completed=false"),
        ),
        "idempotency key": problem(
            422,
            "This Idempotency-Key was used for another request. Make a new one for each new request.",
            field_error("idempotency_key_reused", parameter="Idempotency-Key"),
        ),
    },
    429: {
        "too many": problem(429, "You have too many requests under way. Wait for some of them, then try again."),
    },
    500: {"defect": problem(500, "Internal error. Report the request_id.")},
    503: {
        "database unavailable": problem(
            503, "The database cannot be reached. Try again in a moment.", code="database_unavailable"
        ),
        "not ready": problem(503, "Not ready: the database failed the readiness check. /health says why."),
    },
}

# Before a route is chosen: what is no request as HTTP has it, or takes too long. The connection is closed.
BEFORE_ROUTES: Mapping[int, Problems] = {
    400: {"not HTTP": problem(400, "The request is not valid HTTP.")},
    408: {"slow headers": problem(408, "The request line and the headers took too long.")},
    431: {"large headers": problem(431, "The request line and the headers are larger than 16 KiB.")},
}

UNHEALTHY: Problems = {
    "database unavailable": problem(
        503, "The database does not respond.", database="unavailable", checked_seconds_ago=4.2
    ),
    "not ready": problem(
        503,
        "Not ready: the database failed the readiness check; see reasons.",
        database="ok",
        checked_seconds_ago=0.4,
        revision="0001",
        reasons=["app.tasks: Row-level security is disabled. Remedy: alter table app.tasks enable row level security;"],
    ),
}
