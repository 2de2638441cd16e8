"""Examples of /openapi.json: ${human_plural}. A test asks for each of them and compares."""

from collections.abc import Mapping
from typing import Any

from api.http.examples import ${"WORKSPACE_ID, " if shared else ""}Problems, problem

${SINGULAR}_ID = "0198c0de-0000-7000-8000-000000000001"

SENT: Mapping[str, Any] = ${example}
${SINGULAR}: Mapping[str, Any] = {
% if shared:
    "workspace_id": WORKSPACE_ID,
% endif
    "id": ${SINGULAR}_ID,
    "user_id": "alice",
    **SENT,
    "created_at": "2026-11-21T08:00:00.123456+00:00",
    "updated_at": "2026-11-21T08:30:00.123456+00:00",
}
SCHEMAS: Mapping[str, Any] = {
    "${Singular}": ${SINGULAR},
    "${Singular}Page": {"items": [${SINGULAR}], "next_cursor": None},
    "${Singular}Create": SENT,
    "${Singular}Replace": SENT,
    "${Singular}Update": SENT,
}
PROBLEMS: Mapping[int, Problems] = {404: {"one ${human}": problem(404, "No ${human} with this id.")}}
