"""What goes wrong, and what the caller is told: always application/problem+json (RFC 9457).

ApiError                        raised by our own code, with a detail for the caller
├── UnauthorizedError           401
│   └── MissingTokenError       401, without an error code in WWW-Authenticate
├── RoleRequiredError           403: a member of the workspace, with another role
├── NotFoundError               404
├── PreconditionFailedError     412, with the current ETag
├── UnsupportedMediaTypeError   415
├── InvalidInputError           422, and which parameter
├── TooManyAttemptsError        429: one user has tried too often
├── NotReadyError               503
└── UnavailableError            503: something that we depend on does not respond; the log has the cause
HTTPException                   Starlette's: 404 for an unknown path, 405, 413
ClientDisconnect                Starlette's: 400 in the log, as nobody is there to be told
RequestValidationError          FastAPI's: 422, with every field that is wrong
asyncpg.PostgresError           by constraint name, then by SQLSTATE
TooManyRequestsError            429: one user has too many at the same time
DatabaseUnavailableError        503, with a code: api/http/unavailable.py
anything else                   500: the log has the cause, the caller the request id
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, NamedTuple

import asyncpg
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.http.codes import BY_STATUS
from api.http.fastapi_internals import allowed_methods
from api.http.responses import json_response, root_path
from api.http.unavailable import unavailability
from api.http.validation import translate
from api.observability.causes import cause_of, describe, origin_of
from db.connect import DatabaseUnavailableError
from db.metrics import count_error
from db.refusals import constraint_of, is_refused_by_policy
from db.turns import TooManyRequestsError

log = logging.getLogger("partywall.errors")

PROBLEM = "application/problem+json"
RETRY = MappingProxyType({"Retry-After": "1"})


class ApiError(Exception):
    """An error that the caller is told about."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = ""  # the first one of `api.http.codes` with this status
    headers: Mapping[str, str] = MappingProxyType({})
    extensions: Mapping[str, object] = MappingProxyType({})  # members of the problem, beside those that all have

    def __init__(self, detail: str, *errors: Mapping[str, object], headers: Mapping[str, str] | None = None) -> None:
        """Say in `detail` what is wrong and what to do; in `errors`, by `api.http.codes.field_error`, where."""
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.headers = headers or self.headers


class UnauthorizedError(ApiError):
    """The token proves nothing."""

    status = HTTPStatus.UNAUTHORIZED
    headers = MappingProxyType({"WWW-Authenticate": 'Bearer error="invalid_token"'})  # RFC 6750, 3


class MissingTokenError(UnauthorizedError):
    """There is no token: no credentials, or those of another scheme (RFC 6750, 3.1)."""

    code = "missing_token"
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class RoleRequiredError(ApiError):
    """The caller is a member of the workspace, and has not the role for this."""

    status = HTTPStatus.FORBIDDEN
    code = "role_required"

    def __init__(self, role: str) -> None:
        """Say that it needs at least `role`."""
        super().__init__(f"This needs at least the role {role} in the workspace.")
        self.extensions = {"role": role}


class NotFoundError(ApiError):
    """There is no such row, or it is another tenant's: the response is the same."""

    status = HTTPStatus.NOT_FOUND


class PreconditionFailedError(ApiError):
    """The row has another version than the caller says."""

    status = HTTPStatus.PRECONDITION_FAILED


class UnsupportedMediaTypeError(ApiError):
    """The body is not JSON in UTF-8, by its own account."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class InvalidInputError(ApiError):
    """A value that the schema of the route cannot check."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooManyAttemptsError(ApiError):
    """The caller has tried too often; `headers` say when to try again."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_attempts"


class NotReadyError(ApiError):
    """The readiness check failed: nobody is served from this database as it is."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = RETRY


class UnavailableError(ApiError):
    """Something that we depend on does not respond. The cause goes to the log."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = RETRY


# SQLSTATE, or its first two characters: https://www.postgresql.org/docs/18/errcodes-appendix.html
SQLSTATES = {
    "22": (HTTPStatus.UNPROCESSABLE_ENTITY, "A value is not one that the database can hold."),
    "23503": (HTTPStatus.CONFLICT, "A referenced row does not exist, or this row is still referenced."),
    "23505": (HTTPStatus.CONFLICT, "This already exists."),
    "23514": (HTTPStatus.UNPROCESSABLE_ENTITY, "A value violates a constraint of the database."),
}

TOO_MANY_REQUESTS = "You have too many requests under way. Wait for some of them, then try again."
MOST_ERRORS = 50  # of one request: a small body can have thousands
INVALID = "The request is not valid; see errors."
# RFC 9110, 15.5; Python names some of them differently from one version to the next.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
HTTP_DETAILS = {
    404: "No such path; /docs lists the routes.",
    405: "Method not allowed; see the Allow header.",
    408: "The body took too long.",
    413: "The body is larger than 64 KiB.",
}


class Conflict(NamedTuple):
    """A 409 with a code of its own."""

    code: str
    detail: str


Constraints = Mapping[str, Mapping[str, object] | Conflict]
"""For each constraint of the database that a request can violate: the member of `errors` of a 422, or a conflict."""


def exception_handlers(constraints: Constraints) -> dict[Any, Any]:
    """Return the handlers of the errors that FastAPI and Starlette respond to; CatchErrors responds to all others."""

    async def respond(request: Request, error: Exception) -> Response:
        return to_response(request, error, constraints)

    return {HTTPException: respond, RequestValidationError: respond}


def to_response(request: Request, error: Exception, constraints: Constraints) -> Response:
    """Return what the caller is told about `error`; what it must not be told goes to the log."""
    match error:
        case TooManyRequestsError():
            return problem(request, 429, TOO_MANY_REQUESTS, headers=RETRY)
        case ApiError():
            if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
                _note(request, error, cause_of(error))
            return problem(
                request,
                error.status,
                error.detail,
                code=error.code,
                errors=error.errors,
                headers=error.headers,
                extensions=error.extensions,
            )
        case ClientDisconnect():
            return problem(request, 400, "The connection ended before the body did.")
        case RequestValidationError():
            return problem(request, 422, INVALID, errors=[translate(each) for each in error.errors()[:MOST_ERRORS]])
        case HTTPException():
            return _http_error(request, error)
        case asyncpg.PostgresError() | DatabaseUnavailableError() if told := unavailability(error):
            _note(request, error, cause_of(error))
            count_error(error)
            return problem(request, 503, told.detail, code=told.code, headers=RETRY)
        case asyncpg.PostgresError():
            return _database_error(request, error, constraints)
    return _internal_error(request, error)


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    code: str = "",
    errors: Sequence[Mapping[str, object]] = (),
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, object] = MappingProxyType({}),
) -> Response:
    """Return an error in the one shape that all errors have, `api.http.openapi.Problem`.

    `code` is one of `api.http.codes.PROBLEMS`, the first one with this status if it is not given. `extensions` are
    members beside it (RFC 9457, 3.2).
    """
    content = problem_content(status, detail, request.state["request_id"], code=code, root=root_path(request.scope))
    content |= extensions
    if errors:
        content["errors"] = errors
    return json_response(content, status, headers, media_type=PROBLEM)


def problem_content(status: int, detail: str, request_id: str, *, code: str = "", root: str = "") -> dict[str, object]:
    """Return the members that every error has. `root` is the prefix that a proxy adds to the paths of the API."""
    code = code or BY_STATUS.get(status, "")
    return {
        "type": f"{root}/docs/errors#{code}" if code else "about:blank",
        "title": title(status),
        "status": status,
        "detail": detail,
        "code": code or title(status).lower().replace(" ", "_"),
        "request_id": request_id,
    }


def title(status: int) -> str:
    """Return a status in words."""
    return TITLES.get(status) or HTTPStatus(status).phrase


def _http_error(request: Request, error: HTTPException) -> Response:
    match error.status_code:
        case 404:
            return problem(request, 404, HTTP_DETAILS[404], code="unknown_path")
        case 405:
            allow = {"Allow": ", ".join(allowed_methods(request))}
            if request.method == "OPTIONS":
                return Response(status_code=204, headers=allow)
            return problem(request, 405, HTTP_DETAILS[405], headers=allow)
    detail = HTTP_DETAILS.get(error.status_code, error.detail)
    return problem(request, error.status_code, detail, headers=error.headers)


def _database_error(request: Request, error: asyncpg.PostgresError, constraints: Constraints) -> Response:
    _note(request, error)
    match constraints.get(constraint_of(error)):
        case Conflict(code, detail):
            return problem(request, 409, detail, code=code)
        case Mapping() as field_error:
            return problem(request, 422, INVALID, errors=[field_error])
    if is_refused_by_policy(error):
        return problem(request, 403, "You can only create or keep rows that you own.")
    state = error.sqlstate or ""
    if (known := SQLSTATES.get(state) or SQLSTATES.get(state[:2])) is None:
        count_error(error)
        return _internal_error(request, error)
    status, detail = known
    return problem(request, status, detail)


def _internal_error(request: Request, error: Exception) -> Response:
    _note(request, error, cause_of(error) if origin_of(error) else describe(error))
    ids = {name: request.state[name] for name in ("request_id", "trace_id") if name in request.state}
    log.error("internal error", exc_info=error, extra=ids | origin_of(error))
    return problem(request, 500, "Internal error. Report the request_id.")


def _note(request: Request, error: Exception, cause: str | None = None) -> None:
    """Have the line of the request in the log say why, and what PostgreSQL names: no value."""
    request.state["failure"] = ({"cause": cause} if cause else {}) | origin_of(error)
