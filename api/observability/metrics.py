"""/metrics for Prometheus: requests, phases, connections, tokens, and whether anybody is served.

docs/metrics.md lists all of them. A label has a fixed set of values: each combination stays in memory for good, so
whatever a client can invent is one kind.
"""

from functools import cache
from typing import TypeAlias

from fastapi import FastAPI
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from db import metrics as of_database

_KNOWN = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

request_seconds = Histogram(
    "http_request_duration_seconds",
    "Seconds until the end of the response, by method, route template and status.",
    ("method", "route", "status"),
    buckets=(0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)
tokens = Counter(
    "partywall_tokens",
    "Tokens by result: cached (verified before), verified, or refused.",
    ("result",),
)
key_fetches = Counter(
    "partywall_jwks_fetches", "Fetches of the keys of JWT_JWKS_URL by result: ok or failed.", ("result",)
)
# Beside the names of the checks of the audit: each is there from the start, so that a query finds it.
REASONS = (
    *("audit_edited", "audit_unreadable", "citus_worker", "database_unavailable"),
    *("not_checked", "revision", "wrong_login", "other"),
)
not_ready = Gauge(
    "partywall_not_ready",
    "1 while this is a reason for which no request is served, else 0: the name of an audit check, such as rls_disabled,"
    f" or {', '.join(REASONS)}.",
    ("reason",),
    multiprocess_mode="livemax",
)
for _reason in REASONS:
    not_ready.labels(_reason)
database_read_only = Gauge(
    "partywall_database_read_only", "1 while the database refuses writes, else 0.", multiprocess_mode="livemax"
)


# These are made when they are first set: before, a worker that starts would be the worst, with its 0, and an alert on
# the age of keys that nobody fetches would be a false one.


@cache
def ready() -> Gauge:
    """Return the gauge of whether requests are served."""
    return Gauge(
        "partywall_ready",
        "1 while requests are served, as /health says, else 0; of several workers the worst.",
        multiprocess_mode="livemin",
    )


@cache
def database_up() -> Gauge:
    """Return the gauge of whether the database responds."""
    return Gauge(
        "partywall_database_up",
        "1 while the database responds, else 0; of several workers the worst.",
        multiprocess_mode="livemin",
    )


@cache
def keys_fetched() -> Gauge:
    """Return the gauge of what only an API with JWT_JWKS_URL has."""
    return Gauge(
        "partywall_jwks_fetched_timestamp_seconds",
        "Unix time, in seconds, at which the keys of JWT_JWKS_URL were last fetched; absent without that.",
        multiprocess_mode="livemin",
    )


@cache
def replica_used() -> Gauge:
    """Return a gauge that only an API with DATABASE_REPLICA_URL has."""
    return Gauge(
        "partywall_replica_used",
        "1 while reads run on the replica, else 0; absent without DATABASE_REPLICA_URL.",
        multiprocess_mode="livemin",
    )


@cache
def replica_lag() -> Gauge:
    """Return a gauge that only an API with DATABASE_REPLICA_URL has."""
    return Gauge(
        "partywall_replica_lag_seconds",
        "Seconds by which the replica is behind the primary, at most; absent without DATABASE_REPLICA_URL, and until"
        " both have responded.",
        multiprocess_mode="livemax",
    )


Metric: TypeAlias = Counter | Gauge | Histogram

ALL: tuple[Metric, ...] = (request_seconds, *of_database.METRICS, tokens, key_fetches, not_ready, database_read_only)
MADE_LATER = (ready, database_up, keys_fetched, replica_used, replica_lag)

token_cached, token_verified, token_refused = (tokens.labels(result) for result in ("cached", "verified", "refused"))
fetch_succeeded, fetch_failed = (key_fetches.labels(result) for result in ("ok", "failed"))
_kind = cache(request_seconds.labels)


def count(method: str | None, route: str | None, status: int | None, seconds: float) -> None:
    """Count a request."""
    _kind(method if method in _KNOWN else "other", route or "none", str(status or "none")).observe(seconds)


def serve_metrics(app: FastAPI) -> None:
    """Add /metrics."""
    app.add_route("/metrics", read_metrics, include_in_schema=False)


async def read_metrics(request: Request) -> Response:
    """Return the numbers of this process; of all workers, if they share a directory. Nothing is waited for."""
    request.state["show_gauges"]()
    encode, media_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(of_database.registry()), media_type=media_type)
