"""What a handler may ask for."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from api.cursor import Cursors
from api.errors import UnauthorizedError, UnsupportedMediaTypeError
from db.session import Session

SAFE_METHODS = frozenset({"GET", "HEAD"})  # RFC 9110, 9.2.1: they change nothing

MERGE_PATCH = "application/merge-patch+json"  # RFC 7396

Made = TypeVar("Made")


class ForCaller(SecurityBase, Generic[Made]):
    """What is made for the user whose token came with the request, who is asked for it by OpenAPI, too.

    One dependency, not three that depend on each other: FastAPI walks through all of them in every request.
    """

    scheme_name = "bearer"
    model = HTTPBearer(bearerFormat="JWT", description="A JWT whose `sub` is the user's id.")

    def __init__(self, make: Callable[[Request, str], Awaitable[Made]]) -> None:
        """Give what `make` returns for the request and the user's id."""
        self._make = make

    async def __call__(self, request: Request) -> Made:
        """Return what is made for the caller. Raises UnauthorizedError."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorizedError("Send the header Authorization: Bearer <token>.")
        user_id = await request.state.verifier.user_id(token)
        return await self._make(request, user_id)


async def _session(request: Request, user_id: str) -> Session:
    """Return the user's door to the database: read-only for requests that may not change anything.

    Raises ClosedError and DatabaseUnavailableError: the gate is in front of the door.
    """
    await request.state.gate.admit()
    return Session(request.state.pool, user_id, read_only=request.method in SAFE_METHODS)


async def _cursors(_request: Request, user_id: str) -> Cursors:
    """Return the user's page cursors."""
    return Cursors(user_id)


def body_of(*media_types: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that raises UnsupportedMediaTypeError for a body that says it is anything else."""

    async def check(request: Request) -> None:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in media_types and await request.body():
            raise UnsupportedMediaTypeError(f"Send the header Content-Type: {media_types[0]}.")

    return check


CallerSession = Annotated[Session, Depends(ForCaller(_session))]
CallerCursors = Annotated[Cursors, Depends(ForCaller(_cursors))]
JsonBody = Depends(body_of("application/json"))
MergePatchBody = Depends(body_of("application/json", MERGE_PATCH))
