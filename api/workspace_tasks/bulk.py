"""Several tasks of a workspace at once: all of them, or none."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.auth.caller import WorkspaceSession
from api.http.bodies import JsonBody
from api.http.routers import NEEDS_ROLE, in_workspace, problems, success
from api.tasks.bulk import change, change_statement, clear, clear_statement
from api.tasks.models import DeletedCount, DeleteQuery, TaskBulkUpdate
from api.workspace_tasks.models import WorkspaceTaskBulkResult

router = in_workspace("workspace_tasks", "tasks")

CHANGE = change_statement("app.workspace_tasks", "workspace_id")
CLEAR = clear_statement("app.workspace_tasks", "workspace_id")


@router.patch(
    "",
    response_model=WorkspaceTaskBulkResult,
    responses=success(200, "The tasks as they are now.") | NEEDS_ROLE | problems(413, 415),
    dependencies=[JsonBody],
)
async def change_workspace_tasks(update: TaskBulkUpdate, db: WorkspaceSession) -> Response:
    """Move or complete up to 500 tasks of a workspace, all or none: as an editor or an owner."""
    return await change(db, CHANGE, update.tasks)


@router.delete("", response_model=DeletedCount, responses=success(200, "How many were deleted.") | NEEDS_ROLE)
async def clear_workspace_tasks(_query: Annotated[DeleteQuery, Query()], db: WorkspaceSession) -> Response:
    """Delete those tasks of a workspace that are done: as an editor or an owner."""
    return await clear(db, CLEAR)
