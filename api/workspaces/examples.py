"""The examples of /openapi.json that are workspaces. A test asks for each of them and compares."""

from collections.abc import Mapping
from typing import Any

from api.http.access import MISSING
from api.http.examples import WORKSPACE_ID, Problems, problem

WORKSPACE: Mapping[str, Any] = {
    "id": WORKSPACE_ID,
    "name": "Garden",
    "role": "owner",
    "created_at": "2026-11-21T08:00:00.123456+00:00",
    "updated_at": "2026-11-21T08:30:00.123456+00:00",
}
SCHEMAS: Mapping[str, Any] = {
    "Workspace": WORKSPACE,
    "WorkspacePage": {"items": [WORKSPACE], "next_cursor": None},
    "WorkspaceCreate": {"name": "Garden"},
    "WorkspaceUpdate": {"name": "Garden"},
}
PROBLEMS: Mapping[int, Problems] = {
    403: {
        "role": problem(
            403, "This needs at least the role editor in the workspace.", code="role_required", role="editor"
        ),
    },
    404: {"workspace": problem(404, MISSING)},
}
