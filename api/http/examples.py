"""The examples of /openapi.json: one task, as it is read and written, and every kind of error.

tests/test_examples.py asks for each of them and compares.
"""

from collections.abc import Mapping
from typing import Any

from api.http.problems import title

TASK_ID = "0198c0de-0000-7000-8000-000000000001"
ETAG = '"742"'
REQUEST_ID = "5f0c2a9e-8d5c-4a31-9a3c-0c9a4d9a7f10"

TASK: Mapping[str, Any] = {
    "id": TASK_ID,
    "user_id": "alice",
    "text": "Buy milk",
    "completed": False,
    "order": 10,
    "created_at": "2026-11-21T08:00:00.123456+00:00",
    "updated_at": "2026-11-21T08:30:00.123456+00:00",
    "completed_at": None,
}
SCHEMAS: Mapping[str, Any] = {
    "Task": TASK,
    "TaskPage": {"items": [TASK], "next_cursor": None},
    "NewTask": {"text": "Buy milk", "order": 10},
    "WholeTask": {"text": "Buy milk", "completed": False, "order": 10},
    "TaskChange": {"order": 10},
    "ManyChanges": {"tasks": [{"id": TASK_ID, "order": 10}]},
    "ChangedTasks": {"items": [TASK]},
    "Cleared": {"deleted": 1},
    "Health": {"status": "ok", "database": "ok", "revision": "0001"},
    "DatabaseHealth": {"database": "ok"},
    "Liveness": {"status": "ok"},
}


def _problem(status: int, detail: str, *errors: Mapping[str, str], **extensions: object) -> dict[str, Any]:
    problem = {"type": "about:blank", "title": title(status), "status": status, "detail": detail}
    return {**problem, "request_id": REQUEST_ID, **extensions} | ({"errors": list(errors)} if errors else {})


Problems = Mapping[str, Mapping[str, Any]]  # by what has happened

PROBLEMS: Mapping[int, Problems] = {
    401: {
        "no token": _problem(401, "Send the header Authorization: Bearer <token>."),
        "expired": _problem(401, "The token is not valid: Signature has expired."),
    },
    404: {
        "one task": _problem(404, "You have nothing with this id."),
        "many tasks": _problem(
            404,
            "You do not have all of these tasks, so none was changed: errors says which.",
            {"pointer": "#/tasks/0/id", "detail": f"You have no task {TASK_ID}."},
        ),
    },
    412: {"changed meanwhile": _problem(412, "The task has changed since you read it. Read it again, then decide.")},
    413: {"too large": _problem(413, "The body is larger than 64 KiB.")},
    415: {"not JSON": _problem(415, "Send the header Content-Type: application/json.")},
    422: {
        "body": _problem(
            422,
            "The request is not valid: errors says what and where.",
            {"pointer": "#/text", "detail": "String should have at least 1 character"},
            {"pointer": "#/order", "detail": "Input should be a valid integer"},
            {"pointer": "#/colour", "detail": "Extra inputs are not permitted"},
        ),
        "parameter": _problem(
            422,
            "The request is not valid: errors says what and where.",
            {"parameter": "limit", "detail": "Input should be less than or equal to 200"},
        ),
        "cursor": _problem(
            422,
            "The cursor is of another list. Start again without it, or go on with its sort and filter.",
            {"parameter": "cursor", "detail": "is of the list sort=-created&completed=false"},
        ),
        "idempotency key": _problem(
            422,
            "This Idempotency-Key was used for another request. Make a new one for each new request.",
            {"parameter": "Idempotency-Key", "detail": "was sent with another body before"},
        ),
    },
    500: {"defect": _problem(500, "Something went wrong on our side. Report the request_id.")},
    503: {
        "database away": _problem(503, "The database cannot be reached. Try again in a moment."),
        "closed": _problem(503, "The API is closed: its database is not safe to use. /health says why."),
    },
}

UNHEALTHY: Problems = {
    "database away": _problem(503, "The database does not answer.", database="unavailable"),
    "closed": _problem(
        503,
        "The API is closed: its database is not safe to use, for these reasons.",
        database="ok",
        revision="0000",
        reasons=["The schema is at revision 0000, which is unknown here: is DATABASE_URL that of another program?"],
    ),
}
