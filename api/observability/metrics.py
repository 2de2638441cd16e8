"""/metrics for Prometheus: how many requests there were, of which kind, and how long they took."""

import os
from functools import cache

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response

_KNOWN = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = Histogram(
    "http_request_duration_seconds",
    "Seconds until the response, by method, route template and status.",
    ("method", "route", "status"),
)
_kind = cache(_SECONDS.labels)


def count(method: str | None, route: str | None, status: int | None, seconds: float) -> None:
    """Count a request. What a client can invent is one kind: each kind stays in memory for good."""
    _kind(method if method in _KNOWN else "other", route or "none", str(status)).observe(seconds)


def serve_metrics(app: FastAPI) -> None:
    """Add /metrics."""
    app.add_route("/metrics", read_metrics, include_in_schema=False)


async def read_metrics(_request: Request) -> Response:
    """Return the numbers of this process; of all workers, if they share a directory.

    https://prometheus.github.io/client_python/multiprocess/
    """
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the one thing there without types
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
