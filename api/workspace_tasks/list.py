"""Pages of a workspace's tasks, in every order."""

from dataclasses import replace
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.auth.caller import WorkspaceSession
from api.http.pages import page
from api.http.routers import PAGE, in_workspace
from api.tasks.list import TASKS
from api.tasks.models import TaskListQuery
from api.workspace_tasks.models import WorkspaceTaskPage

router = in_workspace("workspace_tasks", "tasks")

WORKSPACE_TASKS = replace(TASKS, table="app.workspace_tasks", tenant="workspace_id")


@router.get("", response_model=WorkspaceTaskPage, responses=PAGE)
async def list_workspace_tasks(query: Annotated[TaskListQuery, Query()], db: WorkspaceSession) -> Response:
    """List the tasks of a workspace, a page at a time: as a member.

    Follow the header `Link`, or send `next_cursor` back as `cursor` with the same `sort` and filters, until it is null.
    """
    return await page(db, f"/workspaces/{db.workspace_id}/tasks", WORKSPACE_TASKS, query)
