"""Whether the API can do its work, for load balancers and people. None of it needs a token."""

import asyncio
from typing import Literal, NamedTuple

import asyncpg
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from api.errors import RETRY, problem
from api.openapi import problems
from db.session import SERVER_SETTINGS

router = APIRouter(prefix="/health", tags=["health"], responses=problems(500))

DATABASE_DOWN = "The database does not answer."
NOT_MIGRATED = "The database has no schema yet: run alembic upgrade head."

PATIENCE = 0.06  # seconds to wait for the database: that it hangs is a finding, not a reason to hang
GIVE_UP = 2.0  # seconds until a question is dropped that nobody waits for any more


class Health(BaseModel):
    """The state of the API."""

    status: Literal["ok"]
    database: Literal["ok"]
    revision: str = Field(description="The revision of the database's schema.", examples=["0001"])


class DatabaseHealth(BaseModel):
    """The state of the database."""

    database: Literal["ok"]


class Liveness(BaseModel):
    """The state of the process."""

    status: Literal["ok"]


class Finding(NamedTuple):
    """What a probe found out."""

    reachable: bool
    revision: str | None


UNREACHABLE = Finding(reachable=False, revision=None)


class Probe:
    """Asks the database, on a connection of its own: a busy API is not an ill one.

    One question is under way at most; whoever asks meanwhile waits for the same answer.
    """

    def __init__(self, url: str) -> None:
        """Connect to `url` when first asked."""
        self._url = url
        self._connection: asyncpg.Connection | None = None
        self._asking: asyncio.Task[Finding] | None = None

    async def ask(self) -> Finding:
        """Return what the database answers within PATIENCE."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        await asyncio.wait([self._asking], timeout=PATIENCE)
        return self._asking.result() if self._asking.done() else UNREACHABLE

    async def aclose(self) -> None:
        """Drop the connection, whatever it is doing."""
        if self._asking:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        if self._connection:
            self._connection.terminate()

    async def _ask(self) -> Finding:
        try:
            async with asyncio.timeout(GIVE_UP):
                if self._connection is None or self._connection.is_closed():
                    # A statement cache of size 0: PgBouncer before 1.21 is welcome.
                    self._connection = await asyncpg.connect(
                        self._url, statement_cache_size=0, server_settings=SERVER_SETTINGS
                    )
                return Finding(reachable=True, revision=await _revision(self._connection))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if self._connection:
                self._connection.terminate()
            return UNREACHABLE


async def _revision(connection: asyncpg.Connection) -> str | None:
    """Return the schema's revision, None if there is none that the API may read."""
    try:
        revision: str | None = await connection.fetchval("select version_num from migrations.alembic_version")
    except asyncpg.SyntaxOrAccessError:
        return None
    return revision


@router.get("", response_model=Health, responses=problems(503))
async def health(request: Request) -> Response:
    """Tell whether requests can be served, and which revision the schema has."""
    found = await request.state.probe.ask()
    if not found.reachable:
        return problem(
            request, 503, DATABASE_DOWN, headers=RETRY, extensions={"database": "unavailable", "revision": None}
        )
    if found.revision is None:
        return problem(request, 503, NOT_MIGRATED, headers=RETRY, extensions={"database": "ok", "revision": None})
    return JSONResponse({"status": "ok", "database": "ok", "revision": found.revision})


@router.get("/db", response_model=DatabaseHealth, responses=problems(503))
async def database_health(request: Request) -> Response:
    """Tell whether the database answers."""
    if not (await request.state.probe.ask()).reachable:
        return problem(request, 503, DATABASE_DOWN, headers=RETRY, extensions={"database": "unavailable"})
    return JSONResponse({"database": "ok"})


@router.get("/live", response_model=Liveness)
async def liveness() -> Response:
    """Tell that the process runs. Never touches the database."""
    return JSONResponse({"status": "ok"})
