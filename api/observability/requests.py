"""Every request has an id, is counted, and is one line in the log."""

import random
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.observability import logs, metrics
from db.metrics import PHASES, Timing

NOSNIFF = (b"x-content-type-options", b"nosniff")  # of every response: no browser guesses what it is
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")  # safe to echo in a header and a log line


class RequestLog:
    """Gives each request an id (its own X-Request-ID, or a new one) and returns it; counts the request and logs it.

    The line has the route's template, never the path, the query, a header or a body.
    """

    def __init__(self, app: ASGIApp, *, server_timing: bool = False) -> None:
        """Wrap `app`. With `server_timing` each response says how long its phases took."""
        self._app = app
        self._server_timing = server_timing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        proposed = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
        request_id = proposed if REQUEST_ID.fullmatch(proposed) else new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        timing: Timing | None = scope["state"].setdefault("timing", {}) if self._server_timing else None
        started = time.perf_counter()
        method = scope["method"]
        status = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], NOSNIFF, (b"x-request-id", request_id.encode())]
                if timing is not None:
                    message["headers"].append((b"server-timing", _server_timing(timing, started)))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            more = {"cause": scope["state"].get("cause"), "database": _database(scope)}
            record(request_id, method, _template(scope), status, time.perf_counter() - started, **more)


def _server_timing(timing: Timing, started: float) -> bytes:
    """Return a header: milliseconds by phase, and until now (https://www.w3.org/TR/server-timing/)."""
    seconds = [(phase, timing[phase]) for phase in PHASES if phase in timing]
    return ", ".join(
        f"{name};dur={each * 1000:.3f}" for name, each in [*seconds, ("total", time.perf_counter() - started)]
    ).encode()


def new_request_id() -> str:
    """Return an id: not a secret. 128 bits, as in a trace-id (W3C Trace Context, 3.2.2.3)."""
    return f"{random.getrandbits(128):032x}"


def record(
    request_id: str,
    method: str | None,
    route: str | None,
    status: int | None,
    seconds: float,
    *,
    cause: str | None = None,
    database: str | None = None,
) -> None:
    """Count a request, and write its line.

    `cause` is why what we depend on made it fail; `database` is which one has served a read, where there are two.
    """
    metrics.count(method, route, status, seconds)
    line = {
        "request_id": request_id,
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": round(seconds * 1000, 3),
    }
    if database:
        line["database"] = database
    logs.write_access(line | {"cause": cause} if cause else line)


def _database(scope: Scope) -> str | None:
    if "read" not in scope["state"]:
        return None
    return "replica" if scope["state"]["read"].used_replica else "primary"


def _template(scope: Scope) -> str | None:
    """Return the template of the route. FastAPI notes its own in the scope, but not those of /docs."""
    if "route" in scope:
        template: str = scope["route"].path
        return template
    return scope["path"] if "endpoint" in scope else None  # such a route has no parameters
