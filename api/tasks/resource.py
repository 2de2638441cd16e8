"""Tasks, as the app sees them."""

from api.http.codes import field_error
from api.http.resource import Resource
from api.tasks import bulk, list, routes  # noqa: A004 - a module's name, as in every resource
from api.tasks.examples import PROBLEMS, SCHEMAS

TASKS = Resource(
    name="tasks",
    description="What its owner has to do. A task of somebody else's is one that does not exist.",
    routers=(list.router, routes.router, bulk.router),
    examples=SCHEMAS,
    problems=PROBLEMS,
    # The models check the same first; this is for what they miss.
    constraints={
        "tasks_text_length": field_error("too_long", pointer="#/text", limit=500),
        "tasks_text_not_blank": field_error("blank", pointer="#/text"),
    },
)
