"""Invitations as JSON: what comes in and what goes out."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.http.access import Role
from api.http.bodies import Body
from api.http.examples import WORKSPACE_ID
from api.http.pages import Cursor, Limit, NextCursor
from api.invitations.examples import INVITATION_ID, TOKEN

InvitationId = Annotated[UUID, Field(description="A UUID, version 7.", examples=[INVITATION_ID])]
RoleOfInvitation = Annotated[Role, Field(description="What whoever accepts it becomes.", examples=["editor"])]
Token = Annotated[
    str,
    Field(max_length=200, description="256 random bits: whoever has it can accept the invitation.", examples=[TOKEN]),
]


class Invitation(BaseModel):
    """An invitation to a workspace."""

    workspace_id: UUID = Field(description="The workspace.", examples=[WORKSPACE_ID])
    id: InvitationId
    user_id: str = Field(description="Who made it: `sub` of their token.", examples=["alice"])
    role: RoleOfInvitation
    created_at: datetime
    updated_at: datetime = Field(
        description="When it was accepted; `created_at` if it was not. In quotes it is the ETag."
    )
    expires_at: datetime = Field(description="From then on nobody can accept it.")
    accepted_at: datetime | None = Field(description="When it was accepted; null if it was not.")
    accepted_by: str | None = Field(description="Who accepted it: `sub` of their token; null if nobody did.")


class InvitationWithToken(Invitation):
    """An invitation with its token."""

    token: Token | None = Field(
        description="Whoever has it can accept the invitation. Only its hash is kept, so no other response has it: "
        "it is null where `Idempotency-Replayed` is present."
    )


class InvitationCreate(Body):
    """An invitation to make."""

    role: RoleOfInvitation


class InvitationAccept(Body):
    """An invitation to accept."""

    token: Token


class InvitationPage(BaseModel):
    """A page of the invitations to a workspace."""

    items: list[Invitation]
    next_cursor: NextCursor


class InvitationListQuery(BaseModel):
    """Which page of which list."""

    model_config = ConfigDict(strict=True, extra="forbid")

    limit: Limit = 50
    cursor: Cursor = None
    sort: Literal["created", "-created"] = Field(default="created", description="By age; `-` is the other way round.")
