"""FastAPI reports to OpenTelemetry if a setting says so."""

from typing import Any

import httpx2
import pytest
from opentelemetry import trace

from api.settings import Settings
from tests.support.servers import serving

SPANS: list[str] = []


class Tracer(trace.NoOpTracer):
    """Notes the first name of each span."""

    def start_span(self, name: str, *arguments: Any, **options: Any) -> trace.Span:
        SPANS.append(name)
        return super().start_span(name, *arguments, **options)


class Provider(trace.TracerProvider):
    """Takes the place of a configured SDK."""

    def get_tracer(self, *_arguments: Any, **_options: Any) -> trace.Tracer:
        return Tracer()


@pytest.fixture(scope="module", autouse=True)
def _provider() -> None:
    """Configure OpenTelemetry for this process, which can be done once. Other tests have it off."""
    trace.set_tracer_provider(Provider())


@pytest.mark.parametrize(("changed", "spans"), [({}, []), ({"opentelemetry": True}, ["GET"])], ids=["by default", "on"])
def test_a_request_is_a_span_only_if_the_setting_says_so(
    settings: Settings, changed: dict[str, bool], spans: list[str]
) -> None:
    SPANS.clear()
    with serving(settings.model_copy(update=changed)) as base_url:
        assert httpx2.get(f"{base_url}/health/live").status_code == 200
    assert spans == SPANS
