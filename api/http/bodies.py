"""Request bodies: which media types are accepted, and what their models have in common."""

from collections.abc import Awaitable, Callable, Sequence
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
        headers = request.headers
        if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
            return  # there is no body (RFC 9112, 6.3)
        if headers.get("content-encoding", "identity").lower() != "identity":
            detail = "Send the body as it is, without Content-Encoding."
            raise UnsupportedMediaTypeError(detail, headers={"Accept-Encoding": "identity"})  # RFC 9110, 15.5.16
        if detail := _refusal(", ".join(headers.getlist("content-type")), media_types):
            raise UnsupportedMediaTypeError(detail, headers={"Accept": ", ".join(media_types)})

    return check


@lru_cache
def _refusal(content_type: str, media_types: Sequence[str]) -> str:
    """Return why a body of this type is refused; nothing if it is not."""
    message = Message()
    message["content-type"] = content_type
    if content_type.partition(";")[0].strip().lower() not in media_types:
        return f"Send the header Content-Type: {media_types[0]}."
    if str(message.get_param("charset", "")).lower() not in CHARSETS:
        return "Send the body in UTF-8."
    return ""


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
