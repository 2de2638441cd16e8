"""The examples of /openapi.json that are tasks of a workspace. A test asks for each of them and compares."""

from collections.abc import Mapping
from typing import Any

from api.http.examples import WORKSPACE_ID
from api.tasks.examples import TASK

WORKSPACE_TASK: Mapping[str, Any] = {"workspace_id": WORKSPACE_ID, **TASK}
SCHEMAS: Mapping[str, Any] = {
    "WorkspaceTask": WORKSPACE_TASK,
    "WorkspaceTaskPage": {"items": [WORKSPACE_TASK], "next_cursor": None},
    "WorkspaceTaskBulkResult": {"items": [WORKSPACE_TASK]},
}
