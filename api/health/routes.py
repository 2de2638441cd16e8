"""Whether the API can do its work, for load balancers and people. None of it needs a token."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, Literal, TypeVar

import asyncpg
from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from api.http.openapi import UNHEALTHY, answers, new_router
from api.http.problems import RETRY, problem
from db.connect import DatabaseUnavailableError, connect

router = new_router("health")

DATABASE_DOWN = "The database does not answer."
NOT_MIGRATED = "The database has no schema yet: run alembic upgrade head."
CLOSED = "The API is closed: its database is not safe to use, for these reasons."

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


Answer = TypeVar("Answer")


class Probe(Generic[Answer]):
    """Asks the database one question, on a connection of its own: a busy API is not an ill one.

    It is under way once at most; whoever asks meanwhile waits for the same answer.
    """

    def __init__(
        self,
        url: str,
        question: Callable[[asyncpg.Connection], Awaitable[Answer]],
        *,
        give_up: float = GIVE_UP,
        statement_cache_size: int = 0,  # PgBouncer before 1.21 is welcome
    ) -> None:
        """Connect to `url` when first asked. After `give_up` seconds, drop the question and the connection."""
        self._url = url
        self._question = question
        self._give_up = give_up
        self._statement_cache_size = statement_cache_size
        self._connection: asyncpg.Connection | None = None
        self._asking: asyncio.Task[Answer] | None = None

    async def ask(self, patience: float = PATIENCE) -> Answer:
        """Return the answer. Raises DatabaseUnavailableError when none comes within `patience` seconds."""
        asking = self._asking
        if asking is None or asking.done():
            asking = self._asking = asyncio.create_task(self._ask())
            # Nobody may be waiting for it when it fails.
            asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait([asking], timeout=patience)
        if not asking.done():
            raise DatabaseUnavailableError
        return asking.result()

    async def aclose(self) -> None:
        """Drop the connection, whatever it is doing."""
        if self._asking:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        if self._connection:
            self._connection.terminate()

    async def _ask(self) -> Answer:
        try:
            async with asyncio.timeout(self._give_up):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect(
                        self._url,
                        application_name="partywall health",
                        statement_cache_size=self._statement_cache_size,
                    )
                return await self._question(self._connection)
        except Exception as error:  # asyncpg raises anything when it meets what is no PostgreSQL
            if self._connection:
                self._connection.terminate()
            raise DatabaseUnavailableError from error


async def schema_revision(connection: asyncpg.Connection) -> str | None:
    """Return the schema's revision, None if there is none that the API may read."""
    try:
        revision: str | None = await connection.fetchval(
            "select string_agg(version_num, ', ') from migrations.alembic_version"
        )
    except asyncpg.SyntaxOrAccessError:
        return None
    return revision


@router.get("", response_model=Health, responses=answers(200, "Requests are served.") | UNHEALTHY)
async def read_health(request: Request) -> Response:
    """Tell whether requests are served, and which revision the schema has."""
    try:
        revision = await request.state.probe.ask()
    except DatabaseUnavailableError:
        return _problem(request, DATABASE_DOWN, database="unavailable")
    with suppress(DatabaseUnavailableError):
        await request.state.gate.first_look()
    if reasons := request.state.gate.reasons or ([] if revision else [NOT_MIGRATED]):
        return _problem(request, CLOSED, database="ok", revision=revision, reasons=reasons)
    return JSONResponse({"status": "ok", "database": "ok", "revision": revision})


@router.get("/db", response_model=DatabaseHealth, responses=answers(200, "It does.") | UNHEALTHY)
async def read_database_health(request: Request) -> Response:
    """Tell whether the database answers."""
    try:
        await request.state.probe.ask()
    except DatabaseUnavailableError:
        return _problem(request, DATABASE_DOWN, database="unavailable")
    return JSONResponse({"database": "ok"})


def _problem(request: Request, detail: str, **extensions: object) -> Response:
    return problem(request, 503, detail, headers=RETRY, extensions=extensions)


@router.get("/live", response_model=Liveness, responses=answers(200, "It does."))
async def read_liveness() -> Response:
    """Tell that the process runs. Never touches the database."""
    return JSONResponse({"status": "ok"})
