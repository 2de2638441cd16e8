"""${Plural} as JSON: what comes in and what goes out."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.${plural}.examples import ${SINGULAR}_ID
from api.http.bodies import Body, Update
% if shared:
from api.http.examples import WORKSPACE_ID
% endif
from api.http.fields import ${", ".join(types)}
from api.http.pages import Cursor, Limit, NextCursor

${Singular}Id = Annotated[UUID, Field(description="A UUID, version 7.", examples=[${SINGULAR}_ID])]


class ${Singular}(BaseModel):
    """${A} ${human}${of_workspace}."""

% if shared:
    workspace_id: UUID = Field(description="The workspace.", examples=[WORKSPACE_ID])
    id: ${Singular}Id
    user_id: str = Field(
        description="Who added it: `sub` of their token; maybe no member any more.", examples=["alice"]
    )
% else:
    id: ${Singular}Id
    user_id: str = Field(description="The owner: `sub` of the token.", examples=["alice"])
% endif
% for field in fields:
    ${field.name}: ${field.python}
% endfor
    created_at: Timestamp
    updated_at: Timestamp = Field(description="When it was last changed. In quotes it is the ETag.")


class ${Singular}Create(Body):
    """${A} ${human} to add."""

% for field in fields:
    ${field.name}: ${field.python}${" = Field(default_factory=absent)" if field.optional else ""}
% endfor


class ${Singular}Replace(Body):
    """Everything about ${a} ${human} that ${"can be set" if shared else "its owner can set"}."""

% for field in fields:
    ${field.name}: ${field.python}
% endfor


class ${Singular}Update(Update):
    """What to change about ${a} ${human}: at least one field."""

% for field in fields:
    ${field.name}: ${field.python} = Field(default_factory=absent)
% endfor


class ${Singular}Page(BaseModel):
    """A page of a list of ${human_plural}."""

    items: list[${Singular}]
    next_cursor: NextCursor


class ${Singular}ListQuery(BaseModel):
    """Which page of which list."""

    model_config = ConfigDict(strict=True, extra="forbid")

    limit: Limit = 50
    cursor: Cursor = None
    sort: Literal["created", "-created"] = Field(default="created", description="By age; `-` is the other way round.")
