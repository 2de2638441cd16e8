"""/metrics, and /health with its reasons, on a port of their own: ADMIN_PORT."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.server import ServerState

from api.health.routes import read_database_health, read_health, read_liveness
from api.http.middleware import CatchErrors
from api.http.problems import exception_handlers
from api.observability.metrics import read_metrics
from api.observability.requests import RequestLog

ROUTES = {
    "/metrics": read_metrics,
    "/health": read_health,
    "/health/db": read_database_health,
    "/health/live": read_liveness,
}


@asynccontextmanager
async def serving_admin(host: str, port: int | None, state: Mapping[str, object]) -> AsyncIterator[None]:
    """Serve in the running event loop, with the state of the API, until the end; nothing without a port.

    Each worker does, on the same port: the kernel chooses which one responds. Raises SystemExit with a sentence if
    something else has the port.
    """
    if port is None:
        yield
        return
    # Not a uvicorn.Server: that one would take over the signals.
    config = Config(_app(), http="api.http.server:Protocol", log_config=None)
    config.load()
    protocol: Callable[..., asyncio.Protocol] = config.http_protocol_class
    server_state = ServerState()
    try:
        server = await asyncio.get_running_loop().create_server(
            partial(protocol, config, server_state, {**state, "shows_reasons": True}),
            host,
            port,
            reuse_port=True,
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SystemExit(f"Partywall does not start: ADMIN_PORT {port} of {host}: {reason}") from error
    try:
        yield
    finally:
        server.close()
        for connection in [*server_state.connections]:
            connection.shutdown()


def _app() -> ASGIApp:
    app = Starlette(
        routes=[Route(path, endpoint) for path, endpoint in ROUTES.items()],
        exception_handlers=exception_handlers({}),
    )
    app.add_middleware(CatchErrors, constraints={})
    app.add_middleware(RequestLog)
    return app
