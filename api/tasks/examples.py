"""The examples of /openapi.json that are tasks. A test asks for each of them and compares."""

from collections.abc import Mapping
from typing import Any

from api.http.codes import field_error
from api.http.examples import Problems, problem

MISSING = "No task with this id."
TASK_ID = "0198c0de-0000-7000-8000-000000000001"

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
    "TaskCreate": {"text": "Buy milk", "order": 10},
    "TaskReplace": {"text": "Buy milk", "completed": False, "order": 10},
    "TaskUpdate": {"order": 10},
    "TaskBulkUpdate": {"tasks": [{"id": TASK_ID, "order": 10}]},
    "TaskBulkResult": {"items": [TASK]},
    "DeletedCount": {"deleted": 1},
}
PROBLEMS: Mapping[int, Problems] = {
    404: {
        "one task": problem(404, MISSING),
        "several tasks": problem(
            404,
            "Some of these tasks do not exist; nothing was changed. See errors.",
            field_error("unknown_id", pointer="#/tasks/0/id", detail=f"No task with the id {TASK_ID}."),
        ),
    },
}
