"""Every request has an id, is counted, and is one line in the log."""

import random
import re
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.observability import logs, metrics
from api.observability.traceparent import read_trace_id
from api.observability.tracing import current_trace_id
from db.metrics import PHASES, Timing

NOSNIFF = (b"x-content-type-options", b"nosniff")  # of every response: no browser guesses what it is
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")  # safe to echo in a header and a log line


class RequestLog:
    """Gives each request an id (its own X-Request-ID, or a new one) and returns it; counts the request and logs it.

    The line has the route's template, never the path, the query, a header or a body.
    """

    def __init__(self, app: ASGIApp, *, is_traced: bool = False, server_timing: bool = False) -> None:
        """Wrap `app`. If it `is_traced` by OpenTelemetry, the trace of a request is the one of its span.

        With `server_timing` each response says how long its phases took.
        """
        self._app = app
        self._is_traced = is_traced
        self._server_timing = server_timing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, trace_id = _ids(scope["headers"])
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        if self._is_traced:
            trace_id = current_trace_id()
        if trace_id:
            state["trace_id"] = trace_id
        timing: Timing | None = state.setdefault("timing", {}) if self._server_timing else None
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
            seconds = time.perf_counter() - started
            record(request_id, method, _template(scope), status, seconds, **_details(scope["state"]))


def _ids(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str | None]:
    """Return the id of a request, and that of the trace it is part of, if it says so once, and validly."""
    proposed, traceparents = None, []
    for name, value in headers:
        if name == b"x-request-id" and proposed is None:
            proposed = value.decode("latin-1")
        elif name == b"traceparent":
            traceparents.append(value)
    request_id = proposed if proposed and REQUEST_ID.fullmatch(proposed) else new_request_id()
    return request_id, read_trace_id(traceparents[0]) if len(traceparents) == 1 else None


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
    request_id: str, method: str | None, route: str | None, status: int | None, seconds: float, **details: object
) -> None:
    """Count a request, and write its line, with the `details`."""
    metrics.count(method, route, status, seconds)
    line: dict[str, object] = {
        "request_id": request_id,
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": round(seconds * 1000, 3),
    }
    logs.write_access(line | details)


def _details(state: Mapping[str, Any]) -> dict[str, object]:
    """Return what else is known of a request: who called, in which trace, where it was read, and why it failed."""
    details: dict[str, object] = {}
    if "user_id" in state:
        details["user"] = hashed(state["user_id"])
    if "trace_id" in state:
        details["trace_id"] = state["trace_id"]
    if "read" in state:
        details["database"] = "replica" if state["read"].used_replica else "primary"
    return details | state["failure"] if "failure" in state else details


@lru_cache(4096)
def hashed(user_id: str) -> str:
    """Return what stands for a user in the log: the first 64 bits of the SHA-256 of the id, in hexadecimal digits."""
    return sha256(user_id.encode()).hexdigest()[:16]


def _template(scope: Scope) -> str | None:
    """Return the template of the route. FastAPI notes its own in the scope, but not those of /docs."""
    if "route" in scope:
        template: str = scope["route"].path
        return template
    if "endpoint" not in scope:
        return None
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))  # such a route has no parameters
