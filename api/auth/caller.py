"""The dependencies that give a handler its caller's session."""

from time import perf_counter
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import TypeAdapter, ValidationError

from api.http.bookmark import read_bookmark
from api.http.problems import MissingTokenError, UnauthorizedError
from db.metrics import observe
from db.session import Session

SAFE_METHODS = frozenset({"GET", "HEAD"})  # RFC 9110, 9.2.1: they change nothing


class Authenticate(HTTPBearer):
    """Authenticates the caller. The OpenAPI document says which token it wants."""

    def __init__(self) -> None:
        """Describe the token."""
        super().__init__(bearerFormat="JWT", scheme_name="bearer", description="A JWT whose `sub` is the user's id.")

    async def __call__(self, request: Request) -> Session:  # type: ignore[override]  # FastAPI takes any result
        """Return the caller's session: read-only for requests that may not change anything.

        Raises what `_authenticate` and `_session` raise.
        """
        return _session(request, await _authenticate(request))


CallerSession = Annotated[Session, Depends(Authenticate())]


class AuthenticateInWorkspace(Authenticate):
    """Authenticates the caller, who acts in the workspace of the path."""

    async def __call__(self, request: Request) -> Session:  # type: ignore[override]  # FastAPI takes any result
        """Return the caller's session in the workspace; whether they are a member, its statements find out.

        Raises what `_authenticate` and `_session` raise, and RequestValidationError for what is not a UUID.
        """
        user_id = await _authenticate(request)
        try:
            workspace_id = _UUID.validate_python(request.path_params["workspace_id"])
        except ValidationError as error:
            raise RequestValidationError([{**each, "loc": _PLACE} for each in error.errors()]) from None
        return _session(request, user_id, workspace_id)


async def _authenticate(request: Request) -> str:
    """Return the caller's user id.

    Raises MissingTokenError and UnauthorizedError; UnavailableError without a key to verify the token; NotReadyError
    and DatabaseUnavailableError, because of the readiness check.
    """
    started = perf_counter()
    try:
        return await _verified(request)
    finally:
        observe("authenticate", started, request.scope["state"].get("timing"))


async def _verified(request: Request) -> str:
    credentials = request.headers.getlist("Authorization")
    if len(credentials) > 1:  # a proxy may have checked the other one (RFC 9110, 5.3: it is no list)
        raise UnauthorizedError("Send one header Authorization only.")
    scheme, _, token = "".join(credentials).partition(" ")
    token = token.strip(" ")  # one space or more (RFC 9110, 11.4)
    if scheme.lower() != "bearer" or not token:
        raise MissingTokenError("Send the header Authorization: Bearer <token>.")
    state = request.state
    user_id: str = await state["tokens"].user_id(token)
    await state["readiness"].require()
    return user_id


def _session(request: Request, user_id: str, workspace_id: UUID | None = None) -> Session:
    """Return a session, for a read on the replica if there is one that may be used.

    Raises RequestValidationError for a bookmark that is malformed.
    """
    state, read_only = request.state, request.method in SAFE_METHODS
    bookmark = read_bookmark(request.scope["headers"]) if read_only else None
    replica = state["replica"] if read_only else None
    target = replica and replica.target(bookmark)
    session = Session(
        state["pool"],
        user_id,
        read_only=read_only,
        workspace_id=workspace_id,
        replica=target,
        timing=request.scope["state"].get("timing"),
    )
    if replica:
        state["read"] = session  # the log says where
    return session


_UUID = TypeAdapter(UUID)
_PLACE = ("path", "workspace_id")

WorkspaceSession = Annotated[Session, Depends(AuthenticateInWorkspace())]
