"""One invitation: make, read, revoke."""

import hashlib
import secrets
from datetime import timedelta

from fastapi import Request
from starlette.responses import Response

from api.auth.caller import WorkspaceSession
from api.http import idempotency, rows
from api.http.bodies import JsonBody
from api.http.etags import IfMatch, IfNoneMatch, UnlessMatch
from api.http.idempotency import REPLAYED, IdempotencyKey
from api.http.responses import json_response
from api.http.routers import CREATED, DELETED, FOUND, NEEDS_ROLE, in_workspace
from api.http.rows import Row
from api.invitations.examples import MISSING
from api.invitations.list import COLUMNS
from api.invitations.models import Invitation, InvitationCreate, InvitationId, InvitationWithToken

router = in_workspace("invitations")

TOKEN_BYTES = 32

INSERT = f"""
with created as (
    insert into app.invitations as t (role, token_hash, expires_at) values ($1, $2, now() + $3::interval)
    returning {COLUMNS}, null as token
)
select c.id, to_json(c)::text, to_json(c.updated_at)::text from created as c
"""  # noqa: S608 - put together from constants


def hash_of(token: str) -> bytes:
    """Return what is kept of a token. It is random, so that its SHA-256 tells nothing about it."""
    return hashlib.sha256(token.encode()).digest()


@router.post(
    "", status_code=201, response_model=InvitationWithToken, responses=CREATED | NEEDS_ROLE, dependencies=[JsonBody]
)
async def create_invitation(
    invitation: InvitationCreate, request: Request, db: WorkspaceSession, idempotency_key: IdempotencyKey = None
) -> Response:
    """Invite somebody to a workspace: as an owner.

    The response has the token, once: send it to whom you invite. If the response is lost, revoke the invitation and
    make another one.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    values = (invitation.role, hash_of(token), timedelta(seconds=request.state["invitation_lifetime"]))
    path = f"/workspaces/{db.workspace_id}/invitations"
    created = await idempotency.create(db, path, invitation, idempotency_key, INSERT, values, role="owner")
    if REPLAYED in created.headers:
        return created
    # Only now: what is kept under an Idempotency-Key has none.
    body = bytes(created.body).decode().replace('"token":null', f'"token":"{token}"')
    return json_response(body, 201, {name: created.headers[name] for name in ("Location", "ETag")})


INVITATION = Row(
    read=f"""
    select to_json(i)::text, to_json(i.updated_at)::text
    from (select {COLUMNS} from app.invitations as t where t.workspace_id = $1 and t.id = $2) as i
    """,  # noqa: S608 - put together from constants
    missing=MISSING,
    reader="owner",
    writer="owner",
)


@router.get("/{invitation_id}", response_model=Invitation, responses=FOUND | NEEDS_ROLE)
async def read_invitation(
    invitation_id: InvitationId, db: WorkspaceSession, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
) -> Response:
    """Read an invitation: as an owner."""
    return await rows.read(db, INVITATION, [invitation_id], if_match, if_none_match)


@router.delete("/{invitation_id}", status_code=204, responses=DELETED | NEEDS_ROLE)
async def revoke_invitation(
    invitation_id: InvitationId, db: WorkspaceSession, if_match: IfMatch = None, if_none_match: UnlessMatch = None
) -> Response:
    """Revoke an invitation, so that nobody can accept it any more: as an owner.

    Whoever has accepted it stays a member.
    """
    delete = """
        delete from app.invitations as t
        where t.workspace_id = $1 and t.id = $2
            and ($3::text[] is null or t.updated_at = any ($3::timestamptz[]))
            and ($4::text[] is null or t.updated_at <> all ($4::timestamptz[]))
        returning t.id
    """
    return await rows.delete(db, INVITATION, delete, [invitation_id], if_match, if_none_match)
