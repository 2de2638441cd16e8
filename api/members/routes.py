"""One member: read, change the role, remove or leave. Nobody is added here: see `api.invitations`."""

from starlette.responses import Response

from api.auth.caller import WorkspaceSession
from api.http import rows
from api.http.bodies import MergePatchBody
from api.http.etags import IfMatch, IfNoneMatch, UnlessMatch
from api.http.routers import DELETED, FOUND, NEEDS_ROLE, UPDATED, in_workspace, merge_patch, problems
from api.http.rows import Row
from api.members.examples import MISSING
from api.members.models import Member, MemberUpdate, UserId

router = in_workspace("members")
ONE = "/{user_id:path}"  # an id may have slashes in it: some issuers' are URLs

READ = """
select to_json(t)::text, to_json(t.updated_at)::text
from (
    select m.user_id, m.role, m.joined_at, m.updated_at from app.members as m
    where m.workspace_id = $1 and m.user_id = $2
) as t
"""
MEMBER = Row(READ, MISSING, writer="owner")
ONESELF = Row(READ, MISSING, writer="viewer")


@router.get(ONE, response_model=Member, responses=FOUND)
async def read_member(
    user_id: UserId, db: WorkspaceSession, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
) -> Response:
    """Read a member of a workspace."""
    return await rows.read(db, MEMBER, [user_id], if_match, if_none_match)


@router.patch(
    ONE,
    response_model=Member,
    responses=UPDATED | NEEDS_ROLE | problems(409),
    dependencies=[MergePatchBody],
    openapi_extra=merge_patch("MemberUpdate"),
)
async def change_member(
    user_id: UserId,
    member: MemberUpdate,
    db: WorkspaceSession,
    if_match: IfMatch = None,
    if_none_match: UnlessMatch = None,
) -> Response:
    """Change the role of a member: as an owner.

    The last owner cannot step down.
    """
    update = """
        with changed as (
            update app.members as m set role = $5
            where m.workspace_id = $1 and m.user_id = $2
                and ($3::text[] is null or m.updated_at = any ($3::timestamptz[]))
                and ($4::text[] is null or m.updated_at <> all ($4::timestamptz[]))
            returning m.user_id, m.role, m.joined_at, m.updated_at
        )
        select to_json(c)::text, to_json(c.updated_at)::text from changed as c
    """
    return await rows.update(db, MEMBER, update, [user_id], [member.role], if_match, if_none_match)


@router.delete(ONE, status_code=204, responses=DELETED | NEEDS_ROLE | problems(409))
async def remove_member(
    user_id: UserId, db: WorkspaceSession, if_match: IfMatch = None, if_none_match: UnlessMatch = None
) -> Response:
    """Remove a member, as an owner; or leave the workspace, if it is yourself.

    The last owner cannot leave.
    """
    delete = """
        delete from app.members as m
        where m.workspace_id = $1 and m.user_id = $2
            and ($3::text[] is null or m.updated_at = any ($3::timestamptz[]))
            and ($4::text[] is null or m.updated_at <> all ($4::timestamptz[]))
        returning m.user_id
    """
    member = ONESELF if user_id == db.user_id else MEMBER
    return await rows.delete(db, member, delete, [user_id], if_match, if_none_match)
