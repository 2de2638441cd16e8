"""${Plural}, as the app sees them."""

from api.${plural} import list, routes  # noqa: A004 - a module's name, as in every resource
from api.${plural}.examples import PROBLEMS, SCHEMAS
from api.http.resource import Resource

${PLURAL} = Resource(
    name="${plural}",
    description="The ${human_plural} of a user, whom nobody else sees.",
    routers=(list.router, routes.router),
    examples=SCHEMAS,
    problems=PROBLEMS,
% if texts:
    # In the caller's words. The models check the same first; this is for what they miss.
    constraints={
% for field in texts:
        "${plural}_${field.name}_length": {"pointer": "#/${field.name}", "detail": "must have 1 to 500 characters"},
        "${plural}_${field.name}_not_blank": {"pointer": "#/${field.name}", "detail": "must not be only white space"},
% endfor
    },
% endif
)
