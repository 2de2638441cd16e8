"""Request bodies: which media types are accepted, and what their models have in common."""

from collections.abc import Awaitable, Callable

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, model_validator

from api.http.problems import UnsupportedMediaTypeError

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396


def body_of(*media_types: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that raises UnsupportedMediaTypeError for a body of any other media type."""

    async def check(request: Request) -> None:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in media_types and await request.body():
            raise UnsupportedMediaTypeError(f"Send the header Content-Type: {media_types[0]}.")

    return check


JsonBody = Depends(body_of(JSON))
MergePatchBody = Depends(body_of(JSON, MERGE_PATCH))


class Body(BaseModel):
    """A request body: exact types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Update(Body):
    """A body that changes what it sends: at least one field."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _changes_something(self) -> "Update":
        if not self.model_fields_set:
            raise ValueError(
                f"at least one of {' and '.join(', '.join(type(self).model_fields).rsplit(', ', 1))} is needed"
            )
        return self
