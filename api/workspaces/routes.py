"""One workspace: create, read, change, delete."""

from starlette.responses import Response

from api.auth.caller import CallerSession, WorkspaceSession
from api.http import idempotency, rows
from api.http.access import MISSING
from api.http.bodies import JsonBody, MergePatchBody
from api.http.etags import IfMatch, IfNoneMatch, UnlessMatch
from api.http.idempotency import IdempotencyKey
from api.http.routers import CREATED, DELETED, FOUND, NEEDS_ROLE, UPDATED, merge_patch, new_router
from api.http.rows import Row
from api.workspaces.models import Workspace, WorkspaceCreate, WorkspaceUpdate

router = new_router("workspaces")


@router.post("", status_code=201, response_model=Workspace, responses=CREATED, dependencies=[JsonBody])
async def create_workspace(
    workspace: WorkspaceCreate, db: CallerSession, idempotency_key: IdempotencyKey = None
) -> Response:
    """Create a workspace, of which you are the owner.

    With an `Idempotency-Key` it is safe to send it again: there will be one workspace.
    """
    create = """
        select w.id, to_json(w)::text, to_json(w.updated_at)::text from app.create_workspace($1) as w
    """
    return await idempotency.create(db, "/workspaces", workspace, idempotency_key, create, [workspace.name])


# The ETag has to change with the role of the caller, which is in the row.
WORKSPACE = Row(
    read="""
    select to_json(t)::text, to_json(t.updated_at)::text
    from (
        select w.workspace_id as id, w.name, m.role, w.created_at, greatest(w.updated_at, m.updated_at) as updated_at
        from app.workspaces as w join app.current_memberships() as m on m.workspace_id = w.workspace_id
        where w.workspace_id = $1
    ) as t
    """,
    missing=MISSING,
    writer="owner",
)


@router.get("/{workspace_id}", response_model=Workspace, responses=FOUND)
async def read_workspace(db: WorkspaceSession, if_match: IfMatch = None, if_none_match: IfNoneMatch = None) -> Response:
    """Read a workspace that you are a member of."""
    return await rows.read(db, WORKSPACE, (), if_match, if_none_match)


@router.patch(
    "/{workspace_id}",
    response_model=Workspace,
    responses=UPDATED | NEEDS_ROLE,
    dependencies=[MergePatchBody],
    openapi_extra=merge_patch("WorkspaceUpdate"),
)
async def change_workspace(
    workspace: WorkspaceUpdate, db: WorkspaceSession, if_match: IfMatch = None, if_none_match: UnlessMatch = None
) -> Response:
    """Rename a workspace: as an owner."""
    update = """
        with changed as (
            update app.workspaces as w set name = $4
            from app.current_memberships() as m
            where w.workspace_id = $1 and m.workspace_id = $1
                and ($2::text[] is null or greatest(w.updated_at, m.updated_at) = any ($2::timestamptz[]))
                and ($3::text[] is null or greatest(w.updated_at, m.updated_at) <> all ($3::timestamptz[]))
            returning w.workspace_id as id, w.name, m.role, w.created_at,
                greatest(w.updated_at, m.updated_at) as updated_at
        )
        select to_json(c)::text, to_json(c.updated_at)::text from changed as c
    """
    return await rows.update(db, WORKSPACE, update, (), [workspace.name], if_match, if_none_match)


@router.delete("/{workspace_id}", status_code=204, responses=DELETED | NEEDS_ROLE)
async def delete_workspace(
    db: WorkspaceSession, if_match: IfMatch = None, if_none_match: UnlessMatch = None
) -> Response:
    """Delete a workspace with its tasks, members and invitations: as an owner."""
    delete = """
        delete from app.workspaces as w
        using app.current_memberships() as m
        where w.workspace_id = $1 and m.workspace_id = $1
            and ($2::text[] is null or greatest(w.updated_at, m.updated_at) = any ($2::timestamptz[]))
            and ($3::text[] is null or greatest(w.updated_at, m.updated_at) <> all ($3::timestamptz[]))
        returning w.workspace_id
    """
    return await rows.delete(db, WORKSPACE, delete, (), if_match, if_none_match)
