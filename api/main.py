"""The API as one page: what it is made of, in which order.

`uvicorn api.main:app` reads the settings and refuses to start without them; tests call `create_app`.
"""

import asyncio
import gc
import math
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from functools import cache, partial
from typing import TypedDict

from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from api.admin import serving_admin
from api.auth.tokens import Verifier
from api.health.availability import Availability
from api.health.gauges import showing_gauges
from api.health.readiness import Readiness
from api.health.replica import Replica
from api.health.routes import HEALTH
from api.http.bookmark import AddBookmark
from api.http.cors import Cors
from api.http.docs_page import serve_docs
from api.http.middleware import CatchErrors, HeadAsGet, LimitBody, NormalizePath
from api.http.openapi import complete_document
from api.http.problems import exception_handlers
from api.http.resource import Resource
from api.http.server import UseProtocol
from api.http.workers import end_parent
from api.invitations.attempts import Attempts
from api.invitations.resource import INVITATIONS
from api.members.resource import MEMBERS
from api.observability.logs import configure_logging
from api.observability.metrics import serve_metrics
from api.observability.requests import RequestLog
from api.settings import Settings, load_settings
from api.tasks.resource import TASKS
from api.workspace_tasks.resource import WORKSPACE_TASKS
from api.workspaces.resource import WORKSPACES
from db.connect import connect
from db.pool import CONNECT_TIMEOUT, Pool
from db.processes import require_directory

RESOURCES: tuple[Resource, ...] = (TASKS, WORKSPACE_TASKS, WORKSPACES, MEMBERS, INVITATIONS, HEALTH)


class State(TypedDict):
    """What lives as long as the app, as `request.state`."""

    pool: Pool
    database: Availability
    readiness: Readiness
    replica: Replica | None  # checked in the background from now on: it holds up no start
    tokens: Verifier
    attempts: Attempts  # to accept an invitation
    invitation_lifetime: int  # in seconds
    shows_reasons: bool  # whether /health does
    show_gauges: Callable[[], None]  # of the metrics


def create_app(settings: Settings) -> FastAPI:
    """Return the API. It starts whatever its database is like, and says at /health what is wrong."""
    url = settings.database_url.get_secret_value()
    replica_url = settings.database_replica_url.get_secret_value() if settings.database_replica_url else None
    connect_for_checks = partial(
        connect,
        application_name="partywall health",
        statement_cache_size=settings.database_statement_cache_size,
        seconds=CONNECT_TIMEOUT,
    )
    pause_after = settings.health_checks_pause_after or math.inf
    pool_of = partial(
        Pool,
        size=settings.database_pool_size,
        statement_cache_size=settings.database_statement_cache_size,
        pipelining=settings.database_pipelining,
        idle_lifetime=settings.database_pool_idle_lifetime,
        max_lifetime=settings.database_pool_max_lifetime,
    )
    constraints = {k: v for each in RESOURCES for k, v in each.constraints.items()}

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        connect_to_primary = partial(connect_for_checks, url)
        async with (
            pool_of(url) as pool,
            Availability(
                connect_to_primary, pool, tolerance=settings.database_unavailable_after, pause_after=pause_after
            ) as database,
            Readiness(connect_to_primary, pool, database, pause_after=pause_after) as readiness,
            Replica(
                partial(connect_for_checks, replica_url),
                pool_of(replica_url),
                connect_to_primary,
                pool,
                database,
                max_lag=settings.replica_max_lag,
                pause_after=pause_after,
            )
            if replica_url
            else nullcontext() as replica,
            aclosing(Verifier(settings)) as tokens,
        ):
            await asyncio.gather(database.first_check(), readiness.first_check())
            async with showing_gauges(pool, database, readiness, replica) as show_gauges:
                state = State(
                    pool=pool,
                    database=database,
                    readiness=readiness,
                    replica=replica,
                    tokens=tokens,
                    attempts=Attempts(),
                    invitation_lifetime=settings.invitation_lifetime,
                    shows_reasons=settings.admin_port is None,
                    show_gauges=show_gauges,
                )
                async with serving_admin(settings.admin_host, settings.admin_port, state):
                    yield state

    app = FastAPI(
        title="Partywall",
        version="0.1.0",
        description="Tasks, isolated by PostgreSQL's row-level security: rows that are not yours do not exist.",
        lifespan=lifespan,
        # Not by include_router: see api.http.fastapi_internals.Route.
        routes=[route for resource in RESOURCES for router in resource.routers for route in router.routes],
        redirect_slashes=False,
        exception_handlers=exception_handlers(constraints),
        telemetry=None if settings.opentelemetry else {"tracing": False, "metrics": False, "logs": False},
        docs_url=None,  # serve_docs has one that needs no other host
        redoc_url=None,
    )
    complete_document(app, RESOURCES)
    serve_docs(app)
    if settings.admin_port is None:
        serve_metrics(app)

    # The last one added is the outermost.
    app.add_middleware(CatchErrors, constraints=constraints)
    if replica_url:
        app.add_middleware(AddBookmark)
    app.add_middleware(LimitBody)
    app.add_middleware(HeadAsGet)
    app.add_middleware(NormalizePath)
    if settings.cors_origins:  # else no page may call, and browsers need not be told
        app.add_middleware(
            Cors, origins=settings.cors_origins, more_headers=settings.cors_headers, timing=settings.server_timing
        )
    app.add_middleware(RequestLog, server_timing=settings.server_timing)
    return app


@cache
def _app() -> ASGIApp:
    configure_logging()
    try:
        settings = load_settings()
        require_directory()
    except SystemExit as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.stderr.flush()
        end_parent()
        raise SystemExit(STARTUP_FAILURE) from None
    app = UseProtocol(create_app(settings))
    # With a thousand requests under way each full collection stopped all others for 100 ms, and there were several a
    # second. What lives as long as the process is not looked at again, and young objects are when there are more.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
    return app


def __getattr__(name: str) -> ASGIApp:
    """Make `app` when it is asked for: importing this module needs no settings."""
    if name == "app":
        return _app()
    raise AttributeError(name)
