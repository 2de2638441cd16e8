"""The dependency that gives a handler its caller's session."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from api.http.problems import UnauthorizedError
from db.session import Session

SAFE_METHODS = frozenset({"GET", "HEAD"})  # RFC 9110, 9.2.1: they change nothing


class Authenticate(SecurityBase):
    """Authenticates the caller. The OpenAPI document says which token it wants.

    One dependency instead of three that depend on each other: see api/http/fastapi_internals.py.
    """

    scheme_name = "bearer"
    model = HTTPBearer(bearerFormat="JWT", description="A JWT whose `sub` is the user's id.")

    async def __call__(self, request: Request) -> Session:
        """Return the caller's session: read-only for requests that may not change anything.

        Raises UnauthorizedError; UnavailableError without a key to verify the token; NotReadyError and
        DatabaseUnavailableError, because of the readiness check.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorizedError("Send the header Authorization: Bearer <token>.")
        state = request.scope["state"]  # request.state, without an object that is made for each request
        user_id = await state["tokens"].user_id(token)
        await state["readiness"].require()
        return Session(state["pool"], user_id, read_only=request.method in SAFE_METHODS)


CallerSession = Annotated[Session, Depends(Authenticate())]
