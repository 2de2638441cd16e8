"""Pages of the members of a workspace."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.auth.caller import WorkspaceSession
from api.http.pages import Key, Listing, Sort, page
from api.http.routers import PAGE, in_workspace
from api.members.models import MemberListQuery, MemberPage
from db.session import is_user_id

router = in_workspace("members")


def _user_id(value: object) -> str:
    if not is_user_id(value):
        raise ValueError(value)
    return value


MEMBERS = Listing(
    table="app.members",
    tenant="workspace_id",
    sorts={"user_id": Sort((Key("user_id", _user_id, "", ""),))},
    columns="t.user_id, t.role, t.joined_at, t.updated_at",
)


@router.get("", response_model=MemberPage, responses=PAGE)
async def list_members(query: Annotated[MemberListQuery, Query()], db: WorkspaceSession) -> Response:
    """List the members of a workspace, a page at a time."""
    return await page(db, f"/workspaces/{db.workspace_id}/members", MEMBERS, query)
