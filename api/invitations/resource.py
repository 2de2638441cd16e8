"""Invitations, as the app sees them."""

from api.http.problems import Conflict
from api.http.resource import Resource
from api.invitations import accept, list, routes  # noqa: A004 - a module's name, as in every resource
from api.invitations.examples import ALREADY_MEMBER, PROBLEMS, SCHEMAS

INVITATIONS = Resource(
    name="invitations",
    description="How somebody becomes a member of a workspace: an owner makes one and sends its token.",
    routers=(list.router, routes.router, accept.router),
    examples=SCHEMAS,
    problems=PROBLEMS,
    constraints={"members_pkey": Conflict("already_member", ALREADY_MEMBER)},
)
