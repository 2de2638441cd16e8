"""What happens around every request: an id, one line in the log, no exception that escapes, no endless body."""

import random
import re
import time

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import answer
from api.observability import logs, metrics

# What is sane to repeat in a header and in a log.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
MAX_BODY_BYTES = 64 * 1024


class Api(FastAPI):
    """FastAPI with the middlewares that are added to it and no others.

    The five that it has of its own are 5 % of a request. Of what they do, errors are the business of CatchErrors: a
    handler that is added by `add_exception_handler` is never asked.
    """

    def build_middleware_stack(self) -> ASGIApp:
        """Return the router, wrapped in what was added: the last one is the outermost."""
        app: ASGIApp = self.router
        for middleware in reversed(self.user_middleware):
            app = middleware.cls(app, *middleware.args, **middleware.kwargs)
        return app


class RequestLog:
    """Gives each request an id (its own X-Request-ID, or a new one), returns it, counts it, and logs one line.

    The line has the route's template, never the path, the query, a header or a body.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        proposed = Headers(scope=scope).get("x-request-id", "")
        # Not a secret. 128 bits, as in a trace-id (W3C Trace Context, 3.2.2.3).
        request_id = proposed if REQUEST_ID.fullmatch(proposed) else f"{random.getrandbits(128):032x}"
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        method = scope["method"]
        status = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).append("X-Request-ID", request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            route = _template(scope)
            metrics.count(method, route, status, seconds)
            logs.write_access(
                {
                    "request_id": request_id,
                    "method": method,
                    "route": route,
                    "status": status,
                    "duration_ms": round(seconds * 1000, 3),
                }
            )


def _template(scope: Scope) -> str | None:
    """Return the template of the route. FastAPI notes its own in the scope, but not those of /docs."""
    if "route" in scope:
        template: str = scope["route"].path
        return template
    return scope["path"] if "endpoint" in scope else None  # such a route has no parameters


class CatchErrors:
    """Answers whatever a route raises, or the router.

    Inside of the others: an error is an answer like any other for CORS, for HEAD and for the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Raises again when an answer is already on its way: only closing can tell then."""
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            await answer(Request(scope), error)(scope, receive, send)


class LimitBody:
    """Stops reading a body that is larger than MAX_BODY_BYTES.

    Starlette's RequestBodyLimitMiddleware does the same, but answers in plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Whoever reads too much gets an HTTPException with status 413."""
        size = 0

        async def receive_limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise HTTPException(413)
            return message

        await self._app(scope, receive_limited, send)


class BrowserManners:
    """Answers HEAD as GET without the body, and a path with a slash at its end as the one without.

    A redirect would do for the slash, but not for a browser's preflight request, which may not be redirected.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        is_head = scope.get("method") == "HEAD"
        if scope["type"] != "http" or not (is_head or scope["path"].endswith("/")):
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if "body" in message else message)

        # A copy: the server must still see HEAD, or it waits for the body that Content-Length announces.
        inner = {
            **scope,
            "path": scope["path"].removesuffix("/") or "/",
            "method": "GET" if is_head else scope["method"],
        }
        try:
            await self._app(inner, receive, send_without_body if is_head else send)
        finally:
            scope.update(inner | {"method": scope["method"]})  # which route it was, for the log
