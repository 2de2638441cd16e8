"""What a handler may ask for."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.cursor import Cursors
from api.errors import UnauthorizedError, UnsupportedMediaTypeError
from db.session import Session

SAFE_METHODS = frozenset({"GET", "HEAD"})  # RFC 9110, 9.2.1: they change nothing

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


async def json_body(request: Request) -> None:
    """Raise UnsupportedMediaTypeError when the body says that it is not JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and await request.body():
        raise UnsupportedMediaTypeError("Send the header Content-Type: application/json.")


CallerSession = Annotated[Session, Depends(caller_session)]
CallerCursors = Annotated[Cursors, Depends(caller_cursors)]
JsonBody = Depends(json_body)
