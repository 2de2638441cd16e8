"""Pages of the invitations to a workspace."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.auth.caller import WorkspaceSession
from api.http.pages import ID, Listing, Sort, page
from api.http.routers import NEEDS_ROLE, PAGE, in_workspace
from api.invitations.models import InvitationListQuery, InvitationPage

router = in_workspace("invitations")

# Every column that app_api may read: all but the hash of the token.
COLUMNS = """t.workspace_id, t.id, t.user_id, t.role, t.created_at, t.updated_at, t.expires_at, t.accepted_at,
    t.accepted_by"""

INVITATIONS = Listing(
    table="app.invitations",
    tenant="workspace_id",
    sorts={"created": Sort((ID,)), "-created": Sort((ID,), descending=True)},
    columns=COLUMNS,
    role="owner",
)


@router.get("", response_model=InvitationPage, responses=PAGE | NEEDS_ROLE)
async def list_invitations(query: Annotated[InvitationListQuery, Query()], db: WorkspaceSession) -> Response:
    """List the invitations to a workspace, accepted and expired ones too: as an owner."""
    return await page(db, f"/workspaces/{db.workspace_id}/invitations", INVITATIONS, query)
