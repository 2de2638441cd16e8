"""What happens around every request: no exception that escapes, no endless body, HEAD, and slashes at the end."""

import asyncio

import asyncpg
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import Constraints, NotReadyError, UnavailableError, to_response
from api.http.responses import keep_private, root_path
from db.connect import DatabaseUnavailableError

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 30.0  # from when it is first read

# A defect of a statement, unless the database has been dropped and created anew, or restored, since the last check.
MISSING = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedTableError,
)


class CatchErrors:
    """Turns whatever FastAPI has no exception handler for into a response; keeps every response private.

    Inside of the others: an error is a response like any other for CORS, for HEAD and for the log.
    """

    def __init__(self, app: ASGIApp, *, constraints: Constraints) -> None:
        """Wrap `app`."""
        self._app = app
        self._constraints = constraints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Re-raises once the response has started; all that is left is to close the connection."""
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                keep_private(message["headers"])
            elif message["type"] == "lifespan.startup.failed":
                # Of a traceback, the sentence of a SystemExit.
                message["message"] = message["message"].rpartition("SystemExit: ")[2].rstrip()
            elif message["type"] == "lifespan.shutdown.failed" and message["message"].endswith("CancelledError\n"):
                message["message"] = ""  # it did not fail: a second Ctrl-C does not wait for it
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except (Exception, asyncio.CancelledError) as error:
            if started or scope["type"] != "http":
                raise
            if isinstance(error, asyncio.CancelledError):  # by the server: the time for its shutdown is over
                error = UnavailableError("The server is shutting down. Try again in a moment.")
            elif isinstance(error, MISSING):
                error = await _not_ready(scope) or error
            await to_response(Request(scope), error, self._constraints)(scope, receive, watch)


async def _not_ready(scope: Scope) -> Exception | None:
    """Return why nobody is served, if the schema is no longer the one that was checked."""
    try:
        await scope["state"]["readiness"].require_again()
    except (NotReadyError, DatabaseUnavailableError) as error:
        return error
    return None


class LimitBody:
    """Stops reading a body that is larger than MAX_BODY_BYTES, or takes longer than BODY_SECONDS.

    Starlette's RequestBodyLimitMiddleware bounds the size, too, but responds in plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Whoever reads too much gets an HTTPException with status 413, or 408 for too long."""
        if scope["type"] != "http":  # the app waits for its shutdown by `receive`
            await self._app(scope, receive, send)
            return
        size = 0
        deadline: float | None = None

        async def receive_limited() -> Message:
            nonlocal size, deadline
            deadline = deadline or asyncio.get_running_loop().time() + BODY_SECONDS
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, headers={"Connection": "close"}) from None
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise HTTPException(413)
            return message

        await self._app(scope, receive_limited, send)


class NormalizePath:
    """Serves a path with a slash at its end as the one without, and one with a proxy's prefix with or without it.

    Starlette would redirect, but a browser's preflight request may not be redirected.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. The scope stays the same one: the router notes in it which route it was, for the log."""
        if scope["type"] == "http" and scope["raw_path"].endswith(b"/"):  # not %2F, by which an id may end
            scope["path"] = scope["path"].removesuffix("/") or "/"
        if scope.get("root_path"):
            send = _below_root_path(scope, send)
        await self._app(scope, receive, send)


def _below_root_path(scope: Scope, send: Send) -> Send:
    """Return a `send` that adds the prefix to the paths in Location and Link.

    The server puts --root-path in front of every path. A proxy that doesn't strip the prefix has sent it, too: then it
    is there twice, and is taken off once; but not a prefix that is a path of the API, such as /tasks.
    """
    root = "/".join(["", *filter(None, scope["root_path"].split("/"))])
    path = scope["path"].removeprefix(scope["root_path"])
    if f"{path}/".startswith(f"{root}/") and not _is_served(scope["app"], root):
        path = path.removeprefix(root)
    scope["root_path"], scope["path"] = root, root + path
    prefix = f"{root_path(scope)}/".encode()

    async def send_with_prefix(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                (name, value.replace(b"/", prefix, 1) if name in {b"location", b"link"} else value)
                for name, value in message["headers"]
            ]
        await send(message)

    return send_with_prefix


def _is_served(app: Starlette, path: str) -> bool:
    return any(f"{getattr(route, 'path', '')}/".startswith(f"{path}/") for route in app.routes)


class HeadAsGet:
    """Serves HEAD as GET without the body (RFC 9110, 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope.get("method") != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if "body" in message else message)

        # A copy: the server must still see HEAD, or it waits for the body that Content-Length announces.
        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send_without_body)
        finally:
            scope.update(inner | {"method": "HEAD"})  # which route it was, for the log
