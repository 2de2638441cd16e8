"""What a handler may ask for."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.cursor import Cursors
from api.errors import UnauthorizedError, UnsupportedMediaTypeError
from db.session import Session

SAFE_METHODS = frozenset({"GET", "HEAD"})  # RFC 9110, 9.2.1: they change nothing

MERGE_PATCH = "application/merge-patch+json"  # RFC 7396

bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A JWT whose `sub` is the user's id.")


async def caller(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> str:
    """Return the id of the user whose token came with the request. Raises UnauthorizedError."""
    if credentials is None:
        raise UnauthorizedError("Send the header Authorization: Bearer <token>.")
    user_id: str = await request.state.verifier.user_id(credentials.credentials)
    return user_id


Caller = Annotated[str, Depends(caller)]


async def caller_session(request: Request, user_id: Caller) -> Session:
    """Return the caller's door to the database: read-only for requests that may not change anything.

    Raises ClosedError and DatabaseUnavailableError: the gate is in front of the door.
    """
    await request.state.gate.admit()
    return Session(request.state.pool, user_id, read_only=request.method in SAFE_METHODS)


async def caller_cursors(user_id: Caller) -> Cursors:
    """Return the caller's page cursors."""
    return Cursors(user_id)


def body_of(*media_types: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that raises UnsupportedMediaTypeError for a body that says it is anything else."""

    async def check(request: Request) -> None:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in media_types and await request.body():
            raise UnsupportedMediaTypeError(f"Send the header Content-Type: {media_types[0]}.")

    return check


CallerSession = Annotated[Session, Depends(caller_session)]
CallerCursors = Annotated[Cursors, Depends(caller_cursors)]
JsonBody = Depends(body_of("application/json"))
MergePatchBody = Depends(body_of("application/json", MERGE_PATCH))
