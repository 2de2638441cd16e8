"""Why a statement in a workspace has found nothing, or was refused: 404 for whoever is no member, else 403.

Statements do not ask first: that would be one round trip more in every request, and the policies decide anyway.
"""

from typing import Final, Literal

from api.http.problems import NotFoundError, RoleRequiredError
from db.session import Session

Role = Literal["viewer", "editor", "owner"]

MISSING: Final = "No workspace with this id."

_HAS_ROLE = "select app.current_workspace_id('viewer') is not null, app.current_workspace_id($1) is not null"


async def require(db: Session, role: Role) -> None:
    """Return if the caller has at least this role in the workspace of the session, or the session is in none.

    Raises NotFoundError, which is the same for a workspace that does not exist; RoleRequiredError for a member.
    """
    if db.workspace_id is None:
        return
    [(is_member, has_role)] = await db.fetch(_HAS_ROLE, role)
    if not is_member:
        raise NotFoundError(MISSING)
    if not has_role:
        raise RoleRequiredError(role)
