"""Workspaces, as the app sees them."""

from api.http.codes import field_error
from api.http.resource import Resource
from api.workspaces import list, routes  # noqa: A004 - a module's name, as in every resource
from api.workspaces.examples import PROBLEMS, SCHEMAS

WORKSPACES = Resource(
    name="workspaces",
    description="What people share. A workspace of which you are no member is one that does not exist.",
    routers=(list.router, routes.router),
    examples=SCHEMAS,
    problems=PROBLEMS,
    # The models check the same first; this is for what they miss.
    constraints={
        "workspaces_name_length": field_error("too_long", pointer="#/name", limit=100),
        "workspaces_name_not_blank": field_error("blank", pointer="#/name"),
    },
)
