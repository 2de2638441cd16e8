"""${Plural}, as the app sees them."""

from api.${plural} import list, routes  # noqa: A004 - a module's name, as in every resource
from api.${plural}.examples import PROBLEMS, SCHEMAS
% if texts:
from api.http.codes import field_error
% endif
from api.http.resource import Resource

${PLURAL} = Resource(
    name="${plural}",
% if shared:
    description="The ${human_plural} of a workspace. "
    "All of its members read them; editors and owners write them.",
% else:
    description="The ${human_plural} of a user, whom nobody else sees.",
% endif
    routers=(list.router, routes.router),
    examples=SCHEMAS,
    problems=PROBLEMS,
% if texts:
    # The models check the same first; this is for what they miss.
    constraints={
% for field in texts:
        "${plural}_${field.name}_length": field_error("too_long", pointer="#/${field.name}", limit=500),
        "${plural}_${field.name}_not_blank": field_error("blank", pointer="#/${field.name}"),
% endfor
    },
% endif
)
