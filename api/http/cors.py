"""CORS, where a refused preflight is a problem like every other error."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.codes import PROBLEMS
from api.http.problems import problem

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
HEADERS = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
    *("Partywall-Bookmark", "X-Request-ID"),
    *("baggage", "sentry-trace", "traceparent", "tracestate"),  # a page whose requests are traced sends them with each
)
EXPOSED = ("ETag", "Idempotency-Replayed", "Link", "Location", "Partywall-Bookmark", "Retry-After", "X-Request-ID")


class Cors(CORSMiddleware):
    """Starlette's, for what this API uses; it would refuse a preflight in plain text."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str], more_headers: Sequence[str], timing: bool) -> None:
        """Wrap `app`. Pages of `origins` may call it, send `more_headers` beside HEADERS, and read Server-Timing."""
        headers = (*HEADERS, *more_headers)
        exposed = (*EXPOSED, "Server-Timing") if timing else EXPOSED
        super().__init__(
            app, allow_origins=origins, allow_methods=METHODS, allow_headers=headers, expose_headers=exposed
        )
        self._timing = timing
        self.allow_headers = [*self.allow_headers, ""]  # an empty element of a list is none (RFC 9110, 5.6.1)

    def allow_explicit_origin(self, headers: MutableHeaders, origin: str) -> None:  # type: ignore[override]  # static
        """Let pages of this origin read the response; its timing, too: https://www.w3.org/TR/resource-timing/."""
        super().allow_explicit_origin(headers, origin)
        if self._timing:
            headers["Timing-Allow-Origin"] = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if {"origin", "access-control-request-method"} <= {*headers}:
                response = self.preflight_response(headers)
                if response.status_code != 200:  # noqa: PLR2004 - it is 400
                    kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
                    detail = f"{bytes(response.body).decode()}. {PROBLEMS['cors_refused'].remedy}"
                    response = problem(Request(scope), 400, detail, code="cors_refused", headers=kept)
                await response(scope, receive, send)
                return
        await super().__call__(scope, receive, send)
