"""Health checks, for load balancers and people. None of them needs a token."""

from typing import Literal

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.http.problems import RETRY, problem
from api.http.resource import Resource
from api.http.responses import json_response
from api.http.routers import UNHEALTHY, new_router, success
from db.revision import NOT_MIGRATED

router = new_router("health", ())

DATABASE_UNAVAILABLE = "The database does not respond."
NOT_READY = "Not ready: the database failed the readiness check"


class DatabaseHealth(BaseModel):
    """The state of the database."""

    database: Literal["ok", "read only", "idle"] = Field(
        description="`read only` on a standby, and while the database refuses writes: reads are served. `idle` while"
        " nobody calls and HEALTH_CHECKS_PAUSE_AFTER is set: the next request checks it first."
    )
    checked_seconds_ago: float = Field(description="Seconds since the database last responded.", examples=[0.4])


class Health(DatabaseHealth):
    """The state of the API."""

    status: Literal["ok"]
    revision: str = Field(description="The revision of the database's schema.", examples=["0001"])


class HealthWithReplica(BaseModel):
    """The state of the API, where DATABASE_REPLICA_URL is set."""

    status: Literal["ok"]
    database: Literal["ok", "read only", "unavailable", "idle"] = Field(
        description="`read only` or `unavailable`: reads are served, writes are not."
    )
    checked_seconds_ago: float = Field(description="Seconds since the database last responded.", examples=[0.4])
    revision: str = Field(description="The revision of the database's schema.", examples=["0001"])
    replica: str = Field(
        description="`ok` while it serves reads; else `not used`, and why if reasons are shown here.",
        examples=["ok", "not used: it is behind the primary by more than 5 s (REPLICA_MAX_LAG)"],
    )


class Liveness(BaseModel):
    """The state of the process."""

    status: Literal["ok"]


EXAMPLE = {"status": "ok", "database": "ok", "checked_seconds_ago": 0.4, "revision": "0001"}
OK = success(200, "Requests are served.")
OK[200]["content"] = {"application/json": {"schema": {"examples": [EXAMPLE]}}}  # of the two models


@router.get("", response_model=Health | HealthWithReplica, responses=OK | UNHEALTHY)
async def read_health(request: Request) -> Response:
    """Tell whether requests are served, and which revision the schema has."""
    database, replica = request.state["database"], request.state["replica"]
    if not database.is_available and not (replica and not replica.reason):
        return _unavailable(request)
    state = _database(request) | _replica(request)
    reasons = request.state["readiness"].reasons or ([] if database.revision else [NOT_MIGRATED])
    if not reasons:
        return json_response({"status": "ok", **state, "revision": database.revision})
    state["revision"] = database.revision
    if not request.state["shows_reasons"]:
        return _problem(request, f"{NOT_READY}.", **state)
    return _problem(request, f"{NOT_READY}; see reasons.", **state, reasons=reasons)


@router.get("/db", response_model=DatabaseHealth, responses=success(200, "The database answers.") | UNHEALTHY)
async def read_database_health(request: Request) -> Response:
    """Tell whether the database answers."""
    if not request.state["database"].is_available:
        return _unavailable(request)
    return json_response(_database(request))


def _database(request: Request) -> dict[str, object]:
    database = request.state["database"]
    state = "read only" if database.read_only else "ok"
    if database.is_paused:
        state = "idle"
    elif not database.is_available:
        state = "unavailable"
    return {"database": state, "checked_seconds_ago": database.age and round(database.age, 1)}


def _replica(request: Request) -> dict[str, object]:
    replica = request.state["replica"]
    if not replica:
        return {}
    reason = f": {replica.reason}" if request.state["shows_reasons"] else ""
    return {"replica": f"not used{reason}" if replica.reason else "ok"}


def _unavailable(request: Request) -> Response:
    return _problem(request, DATABASE_UNAVAILABLE, **_database(request), **_replica(request))


def _problem(request: Request, detail: str, **extensions: object) -> Response:
    request.state["cause"] = detail
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
        "Health": EXAMPLE,
        "HealthWithReplica": EXAMPLE | {"replica": "ok"},
        "DatabaseHealth": {"database": "ok", "checked_seconds_ago": 0.4},
        "Liveness": {"status": "ok"},
    },
)
