"""Health checks, for load balancers and people. None of them needs a token."""

from contextlib import suppress
from typing import Literal

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.http.problems import RETRY, problem
from api.http.resource import Resource
from api.http.responses import json_response
from api.http.routers import UNHEALTHY, new_router, success
from db.connect import DatabaseUnavailableError
from db.revision import NOT_MIGRATED

router = new_router("health", ())

DATABASE_UNAVAILABLE = "The database does not respond."
NOT_READY = "Not ready: the database failed the readiness check"


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


@router.get("", response_model=Health, responses=success(200, "Requests are served.") | UNHEALTHY)
async def read_health(request: Request) -> Response:
    """Tell whether requests are served, and which revision the schema has."""
    try:
        revision = await request.state["probe"].ask()
    except DatabaseUnavailableError:
        return _problem(request, DATABASE_UNAVAILABLE, database="unavailable")
    with suppress(DatabaseUnavailableError):
        await request.state["readiness"].first_check()
    if reasons := request.state["readiness"].reasons or ([] if revision else [NOT_MIGRATED]):
        if not request.state["shows_reasons"]:
            return _problem(request, f"{NOT_READY}.", database="ok", revision=revision)
        return _problem(request, f"{NOT_READY}; see reasons.", database="ok", revision=revision, reasons=reasons)
    return json_response({"status": "ok", "database": "ok", "revision": revision})


@router.get("/db", response_model=DatabaseHealth, responses=success(200, "The database answers.") | UNHEALTHY)
async def read_database_health(request: Request) -> Response:
    """Tell whether the database answers."""
    try:
        await request.state["probe"].ask()
    except DatabaseUnavailableError:
        return _problem(request, DATABASE_UNAVAILABLE, database="unavailable")
    return json_response({"database": "ok"})


def _problem(request: Request, detail: str, **extensions: object) -> Response:
    return problem(request, 503, detail, headers=RETRY, extensions=extensions)


@router.get("/live", response_model=Liveness, responses=success(200, "The process is running."))
async def read_liveness(_request: Request) -> Response:
    """Tell that the process is running. Never touches the database."""
    return json_response({"status": "ok"})


HEALTH = Resource(
    name="health",
    description="For load balancers and people. They need no token.",
    routers=(router,),
    examples={
        "Health": {"status": "ok", "database": "ok", "revision": "0001"},
        "DatabaseHealth": {"database": "ok"},
        "Liveness": {"status": "ok"},
    },
)
