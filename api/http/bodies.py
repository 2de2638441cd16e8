"""Request bodies: which media types are accepted, and what their models have in common."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.message import Message
from functools import lru_cache

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, model_validator

from api.http.fields import refusal
from api.http.problems import UnsupportedMediaTypeError

JSON = "application/json"
CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})  # US-ASCII is UTF-8, too
MERGE_PATCH = "application/merge-patch+json"  # RFC 7396


def body_of(*media_types: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that raises UnsupportedMediaTypeError for a body of any other kind than JSON in UTF-8."""

    async def check(request: Request) -> None:
        reason = _refusal(", ".join(request.headers.getlist("content-type")), media_types)
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            reason = "Send the body as it is, without Content-Encoding.", {"Accept-Encoding": "identity"}
        if reason and await request.body():
            detail, headers = reason
            raise UnsupportedMediaTypeError(detail, headers=headers)

    return check


@lru_cache
def _refusal(content_type: str, media_types: Sequence[str]) -> tuple[str, Mapping[str, str]] | None:
    """Return why a body of this type is refused, and the headers that say what would not be (RFC 9110, 15.5.16)."""
    message = Message()
    message["content-type"] = content_type
    accepted = {"Accept": ", ".join(media_types)}
    if content_type.partition(";")[0].strip().lower() not in media_types:
        return f"Send the header Content-Type: {media_types[0]}.", accepted
    if str(message.get_param("charset", "")).lower() not in CHARSETS:
        return "Send the body in UTF-8.", accepted
    return None


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
            raise refusal("nothing_to_change", fields=[*type(self).model_fields])
        return self
