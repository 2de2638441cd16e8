"""Workspaces as JSON: what comes in and what goes out."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.http import fields
from api.http.access import Role
from api.http.bodies import Body, Update
from api.http.examples import WORKSPACE_ID
from api.http.fields import absent
from api.http.pages import Cursor, Limit, NextCursor

Name = Annotated[
    fields.Name,
    Field(
        description="What its members call it: 1 to 100 characters, not only white space.",
        examples=["Garden"],
    ),
]


class Workspace(BaseModel):
    """A workspace, as one of its members sees it."""

    id: UUID = Field(description="A UUID, version 7.", examples=[WORKSPACE_ID])
    name: Name
    role: Role = Field(
        description="The caller's: a viewer reads, an editor also writes tasks, an owner may do everything."
    )
    created_at: datetime
    updated_at: datetime = Field(
        description="When it, or the caller's role in it, was last changed. In quotes it is the ETag."
    )


class WorkspaceCreate(Body):
    """A workspace to create."""

    name: Name


class WorkspaceUpdate(Update):
    """What to change about a workspace: at least one field."""

    name: Name = Field(default_factory=absent)


class WorkspacePage(BaseModel):
    """A page of the caller's workspaces."""

    items: list[Workspace]
    next_cursor: NextCursor


class WorkspaceListQuery(BaseModel):
    """Which page of which list."""

    model_config = ConfigDict(strict=True, extra="forbid")

    limit: Limit = 50
    cursor: Cursor = None
    sort: Literal["created", "-created"] = Field(default="created", description="By age; `-` is the other way round.")
