"""Traces for OpenTelemetry, if OPENTELEMETRY is on: a span for each request, and in it one for each statement.

FastAPI makes the one and the instrumentation of asyncpg the other, by the semantic conventions. Both get their tracer
here, because their spans would have what must not leave the process: the id of the user, which a statement sets, and of
a failed one the exception, whose message can be a row.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import asyncpg
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

log = logging.getLogger("partywall.tracing")

OFF = TelemetryConfig(tracing=False, metrics=False, logs=False)
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_LITERAL = re.compile(
    r"E'(?:[^'\\]|\\.|'')*'"
)  # as `db.session.setting_statement` writes values; others are parameters
_MEMBER = re.compile(r"(?<=/members/).+")  # the one id of a user in a path: it can have a slash


def tracing() -> TelemetryConfig:
    """Return what FastAPI traces, and by which provider; have asyncpg traced by the same.

    There are no metrics, which /metrics has, and no logs, in which FastAPI would put messages of exceptions. Raises
    SystemExit with a sentence if the packages are missing.
    """
    provider, is_ours = _provider()
    if is_ours and not any(os.environ.get(name) for name in ENDPOINTS):
        log.warning("OPENTELEMETRY is on, and no trace is sent: set %s", ENDPOINTS[-1])
    return TelemetryConfig(
        tracer_provider=provider, metrics=False, logs=False, operation_spans=False, auto_configure=is_ours
    )


def current_trace_id() -> str | None:
    """Return the id of the trace that the request being handled is part of."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


@cache
def _provider() -> tuple["Provider", bool]:
    """Return the provider of all tracers of this process, and whether it was made here: its exporter is to be added.

    It is the one that is configured already, such as by the command opentelemetry-instrument, or a new one.
    """
    try:
        from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor  # noqa: PLC0415 - of the extra `otel`
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the same
    except ImportError as error:
        raise SystemExit(
            "Partywall does not start: OPENTELEMETRY needs packages that are not installed:"
            f" install requirements-otel.txt, or partywall[otel] ({error})"
        ) from None
    configured = trace.get_tracer_provider()
    is_ours = isinstance(configured, trace.ProxyTracerProvider)
    if is_ours:
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "partywall"}))
        configured = TracerProvider(resource=resource, shutdown_on_exit=False)  # FastAPI shuts the exporter down
        trace.set_tracer_provider(configured)
    provider = Provider(configured)
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "database")  # else the names are those of before 2025
    instrumentor = AsyncPGInstrumentor()  # type: ignore[no-untyped-call]  # it has no types
    if instrumentor.is_instrumented_by_opentelemetry:  # by that command, with tracers that leave nothing out
        instrumentor.uninstrument()
    instrumentor.instrument(tracer_provider=provider)
    return provider, is_ours


class Provider(trace.TracerProvider):
    """A provider whose tracers leave out what must not leave the process."""

    def __init__(self, provider: Any) -> None:  # noqa: ANN401 - the SDK's, or what takes its place
        """Wrap the provider that makes the spans."""
        self._provider = provider

    def get_tracer(self, *arguments: Any, **options: Any) -> trace.Tracer:  # noqa: ANN401 - passed on
        """Return a tracer."""
        return Tracer(self._provider.get_tracer(*arguments, **options))

    def add_span_processor(self, processor: "SpanProcessor") -> None:
        """Have spans processed: by the exporter that FastAPI configures from the environment."""
        self._provider.add_span_processor(processor)


class Tracer(trace.Tracer):
    """A tracer of spans without values."""

    def __init__(self, tracer: trace.Tracer) -> None:
        """Wrap the tracer that makes the spans."""
        self._tracer = tracer

    def start_span(  # type: ignore[override]  # the rest is passed on
        self,
        name: str,
        context: Any = None,  # noqa: ANN401 - passed on
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,  # noqa: ANN401 - passed on
        **options: Any,  # noqa: ANN401 - passed on
    ) -> Span:
        """Return a span: FastAPI's, of a request."""
        return self._tracer.start_span(name, context, kind, _without_values(attributes), **options)

    @contextmanager
    def start_as_current_span(  # type: ignore[override]  # OpenTelemetry's is a decorator as well
        self,
        name: str,
        context: Any = None,  # noqa: ANN401 - passed on
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,  # noqa: ANN401 - passed on
        **options: Any,  # noqa: ANN401 - passed on
    ) -> Iterator[Span]:
        """Give a span of a statement; none outside of a request, where the database is checked every second."""
        if not trace.get_current_span(context).get_span_context().is_valid:
            yield INVALID_SPAN
            return
        options |= {"record_exception": False, "set_status_on_exception": False}
        attributes = _without_values(attributes)
        with self._tracer.start_as_current_span(name, context, kind, attributes, **options) as span:
            try:
                yield span
            except asyncpg.PostgresError as error:
                span.set_attribute("db.response.status_code", error.sqlstate or "")
                raise


def _without_values(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    kept = {name: value for name, value in (attributes or {}).items() if name != "url.query"}
    for name in {"db.query.text", "db.statement"} & kept.keys():
        kept[name] = _LITERAL.sub("E'?'", kept[name])
    if "url.path" in kept:
        kept["url.path"] = _MEMBER.sub("REDACTED", kept["url.path"])
    return kept
