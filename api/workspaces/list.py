"""Pages of the caller's workspaces."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.auth.caller import CallerSession
from api.http.pages import ID, Listing, Sort, page
from api.http.routers import PAGE, new_router
from api.workspaces.models import WorkspaceListQuery, WorkspacePage

router = new_router("workspaces")

WORKSPACES = Listing(
    table="""(
        select w.workspace_id as id, w.name, m.role, w.created_at, greatest(w.updated_at, m.updated_at) as updated_at,
            m.user_id
        from app.current_memberships() as m join app.workspaces as w on w.workspace_id = m.workspace_id
    )""",
    tenant="user_id",
    sorts={"created": Sort((ID,)), "-created": Sort((ID,), descending=True)},
    columns="t.id, t.name, t.role, t.created_at, t.updated_at",
)


@router.get("", response_model=WorkspacePage, responses=PAGE)
async def list_workspaces(query: Annotated[WorkspaceListQuery, Query()], db: CallerSession) -> Response:
    """List the workspaces that you are a member of, a page at a time."""
    return await page(db, "/workspaces", WORKSPACES, query)
