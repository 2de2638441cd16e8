"""Members, as the app sees them."""

from api.http.problems import Conflict
from api.http.resource import Resource
from api.members import list, routes  # noqa: A004 - a module's name, as in every resource
from api.members.examples import LAST_OWNER, PROBLEMS, SCHEMAS

MEMBERS = Resource(
    name="members",
    description="Who belongs to a workspace. Viewers read, editors also write tasks, owners may do everything.",
    routers=(list.router, routes.router),
    examples=SCHEMAS,
    problems=PROBLEMS,
    constraints={"members_keep_an_owner": Conflict("last_owner", LAST_OWNER)},
)
