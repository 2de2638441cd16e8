"""What a handler may ask for."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from api.http.problems import UnauthorizedError, UnsupportedMediaTypeError
from db.session import Session

SAFE_METHODS = frozenset({"GET", "HEAD"})  # RFC 9110, 9.2.1: they change nothing

MERGE_PATCH = "application/merge-patch+json"  # RFC 7396


class Door(SecurityBase):
    """The dependency that lets a caller in: OpenAPI is told about the token that it wants.

    One dependency, not three that depend on each other: see api/routing.py.
    """

    scheme_name = "bearer"
    model = HTTPBearer(bearerFormat="JWT", description="A JWT whose `sub` is the user's id.")

    async def __call__(self, request: Request) -> Session:
        """Return the caller's session: read-only for requests that may not change anything.

        Raises UnauthorizedError; ClosedError and DatabaseUnavailableError, because the gate is in front of the door.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorizedError("Send the header Authorization: Bearer <token>.")
        state = request.scope["state"]  # request.state, without an object that is made for each request
        user_id = await state["verifier"].user_id(token)
        await state["gate"].admit()
        return Session(state["pool"], user_id, read_only=request.method in SAFE_METHODS)


def body_of(*media_types: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that raises UnsupportedMediaTypeError for a body that says it is anything else."""

    async def check(request: Request) -> None:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in media_types and await request.body():
            raise UnsupportedMediaTypeError(f"Send the header Content-Type: {media_types[0]}.")

    return check


CallerSession = Annotated[Session, Depends(Door())]
JsonBody = Depends(body_of("application/json"))
MergePatchBody = Depends(body_of("application/json", MERGE_PATCH))
