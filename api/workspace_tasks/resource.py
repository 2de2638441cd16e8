"""Tasks of a workspace, as the app sees them."""

from api.http.codes import field_error
from api.http.resource import Resource
from api.workspace_tasks import bulk, list, routes  # noqa: A004 - a module's name, as in every resource
from api.workspace_tasks.examples import SCHEMAS

WORKSPACE_TASKS = Resource(
    name="workspace_tasks",
    description="What the members of a workspace have to do. All of them read, editors and owners write.",
    routers=(list.router, routes.router, bulk.router),
    examples=SCHEMAS,
    # The models check the same first; this is for what they miss.
    constraints={
        "workspace_tasks_text_length": field_error("too_long", pointer="#/text", limit=500),
        "workspace_tasks_text_not_blank": field_error("blank", pointer="#/text"),
    },
)
