"""Tasks, as the app sees them."""

from api.http.resource import Resource
from api.tasks import bulk, list, routes  # noqa: A004 - a module's name, as in every resource
from api.tasks.examples import PROBLEMS, SCHEMAS

TASKS = Resource(
    name="tasks",
    description="What its owner has to do. A task of somebody else's is one that does not exist.",
    routers=(list.router, routes.router, bulk.router),
    examples=SCHEMAS,
    problems=PROBLEMS,
    # In the caller's words. The models check the same first; this is for what they miss.
    constraints={
        "tasks_text_length": {"pointer": "#/text", "detail": "must have 1 to 500 characters"},
        "tasks_text_not_blank": {"pointer": "#/text", "detail": "must not be only white space"},
    },
)
