"""Accepting an invitation: the one thing that somebody does in a workspace before they are a member."""

import asyncpg
from fastapi import Request
from starlette.responses import Response

from api.auth.caller import CallerSession
from api.http.bodies import JsonBody
from api.http.problems import NotFoundError
from api.http.responses import json_response
from api.http.routers import new_router, problems, success
from api.invitations.examples import NO_INVITATION
from api.invitations.models import InvitationAccept
from api.invitations.routes import hash_of
from api.workspaces.models import Workspace
from api.workspaces.routes import WORKSPACE
from db.session import Transaction

router = new_router("invitations")


@router.post(
    "/accept",
    response_model=Workspace,
    responses=success(200, "The workspace.", "ETag") | problems(404, 409, 413, 415),
    dependencies=[JsonBody],
)
async def accept_invitation(invitation: InvitationAccept, request: Request, db: CallerSession) -> Response:
    """Become a member of a workspace by the token of an invitation.

    A token can be used once, before it expires. Whatever is wrong with one, the response is the same 404.
    """
    request.state["attempts"].count(db.user_id)
    token_hash = hash_of(invitation.token)

    async def accept(transaction: Transaction) -> asyncpg.Record:
        workspace_id = await transaction.fetchval("select app.accept_invitation($1)", token_hash)
        if workspace_id is None:
            raise NotFoundError(NO_INVITATION)
        [workspace] = await transaction.fetch(WORKSPACE.read, workspace_id)
        return workspace

    body, etag = await db.run(accept)
    return json_response(body, headers={"ETag": etag})
