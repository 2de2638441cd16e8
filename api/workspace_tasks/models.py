"""Tasks of a workspace as JSON: what goes out. What comes in is the same as for a user's own."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from api.http.examples import WORKSPACE_ID
from api.http.pages import NextCursor
from api.tasks.models import Completed, Order, TaskId, Text


class WorkspaceTask(BaseModel):
    """A task of a workspace."""

    workspace_id: UUID = Field(description="The workspace.", examples=[WORKSPACE_ID])
    id: TaskId
    user_id: str = Field(
        description="Who added it: `sub` of their token; maybe no member any more.", examples=["alice"]
    )
    text: Text
    completed: Completed
    order: Order
    created_at: datetime
    updated_at: datetime = Field(description="When it was last changed. In quotes it is the ETag.")
    completed_at: datetime | None = Field(description="When it was last completed; null while it is not.")


class WorkspaceTaskPage(BaseModel):
    """A page of a list of tasks."""

    items: list[WorkspaceTask]
    next_cursor: NextCursor


class WorkspaceTaskBulkResult(BaseModel):
    """The tasks that were changed, in the order of the request."""

    items: list[WorkspaceTask]
