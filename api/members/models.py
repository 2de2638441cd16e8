"""Members as JSON: what comes in and what goes out."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.http.access import Role
from api.http.bodies import Update
from api.http.fields import absent, refusal
from api.http.pages import Cursor, Limit, NextCursor


def _storable(value: str) -> str:
    """Return an id. Raises for one that PostgreSQL cannot hold, and nobody can have."""
    if "\0" in value:
        raise refusal("nul_character")
    return value


UserId = Annotated[
    str,
    Field(
        description="`sub` of the member's token. In a path it is percent-encoded, `/` too.",
        examples=["bob"],
        json_schema_extra={"pattern": r"^[^\x00]+$"},
    ),
    AfterValidator(_storable),
]
RoleOfMember = Annotated[
    Role, Field(description="A viewer reads, an editor also writes tasks, an owner may do everything.")
]


class Member(BaseModel):
    """A member of a workspace."""

    user_id: UserId
    role: RoleOfMember
    joined_at: datetime
    updated_at: datetime = Field(description="When their role was last changed. In quotes it is the ETag.")


class MemberUpdate(Update):
    """What to change about a member."""

    role: RoleOfMember = Field(default_factory=absent)


class MemberPage(BaseModel):
    """A page of the members of a workspace."""

    items: list[Member]
    next_cursor: NextCursor


class MemberListQuery(BaseModel):
    """Which page of the list."""

    model_config = ConfigDict(strict=True, extra="forbid")

    limit: Limit = 50
    cursor: Cursor = None
    sort: Literal["user_id"] = Field(default="user_id", description="By id.")
