"""OpenTelemetry: a span for each request, and in it one for each statement, without a value of a row or a user id."""

import re
from collections.abc import Iterator

import httpx2
import psycopg
import pytest
from fastapi.routing import APIRoute
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from api.main import create_app
from api.settings import Settings
from tests.support.servers import AccessLog, caller, serving
from tests.support.waiting import eventually
from tests.support.workspaces import create_workspace

MARKER = "marker-4711"  # in a row, in a request and in a user id
USER = f"{MARKER}@example.com"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}

EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def _provider() -> None:
    """Configure OpenTelemetry for this process, which can be done once. Other tests have it off."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)


@pytest.fixture
def on(settings: Settings) -> Settings:
    """Return the settings with OpenTelemetry."""
    return settings.model_copy(update={"opentelemetry": True})


@pytest.fixture
def user(on: Settings) -> Iterator[httpx2.Client]:
    """Return a client of a user whose id is the marker; the connection to the database has been opened."""
    with serving(on) as address, caller(address, USER) as client:
        assert client.get("/tasks").status_code == 200
        spans()
        yield client


def spans() -> list[ReadableSpan]:
    """Return the spans of the last request, its own first; none of them has the marker."""

    def is_over() -> bool:
        return any(span.kind is SpanKind.SERVER for span in EXPORTER.get_finished_spans())

    eventually(is_over)
    found = sorted(EXPORTER.get_finished_spans(), key=lambda span: span.start_time or 0)
    EXPORTER.clear()
    assert MARKER not in "".join(span.to_json() for span in found)
    return found


def attributes(span: ReadableSpan, *prefixes: str) -> dict[str, object]:
    return {name: value for name, value in (span.attributes or {}).items() if name.startswith(prefixes)}


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Return the ids of a span: its trace's, and its own."""
    assert span.context
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def parent(span: ReadableSpan) -> str:
    assert span.parent
    return f"{span.parent.span_id:016x}"


# ---- spans -------------------------------------------------------------------------------------------


def test_a_request_is_a_span_with_one_for_its_statement(user: httpx2.Client, access_log: AccessLog) -> None:
    access_log()
    for _ in range(2):  # the second time it is prepared already
        response = user.post("/tasks?why=marker-4711", json={"text": MARKER}, headers=TRACED)
        assert response.status_code == 201
        request, statement, *_ = spans()

    assert (request.name, request.kind, request.status.status_code) == (
        "POST /tasks",
        SpanKind.SERVER,
        StatusCode.UNSET,
    )
    assert attributes(request, "http.", "url.", "error.") == {
        "http.request.method": "POST",
        "http.route": "/tasks",
        "http.response.status_code": 201,
        "url.scheme": "http",
        "url.path": "/tasks",
    }
    trace_id, span_id = ids(request)
    assert (trace_id, parent(request)) == (TRACE, PARENT)
    assert (ids(statement)[0], parent(statement), statement.kind) == (TRACE, span_id, SpanKind.CLIENT)
    assert attributes(statement, "db.system", "error.") == {"db.system.name": "postgresql"}
    assert re.search(
        r"insert into app.tasks .* values \(\$1, \$2, \$3\)", str(attributes(statement, "db.")["db.query.text"])
    )
    assert [line["trace_id"] for line in access_log()][:1] == [TRACE]


def test_a_request_without_a_trace_begins_one_which_is_in_the_log(user: httpx2.Client, access_log: AccessLog) -> None:
    access_log()
    user.get("/health/live")
    [request] = spans()
    user.get("/health/live")
    assert access_log()[0]["trace_id"] == ids(request)[0]
    assert request.parent is None
    assert request.name == "GET /health/live"


@pytest.mark.usefixtures("way")
def test_every_statement_of_a_transaction_is_a_span_without_who_is_calling(user: httpx2.Client) -> None:
    workspace = create_workspace(user)
    spans()
    for number in range(2):
        key = {"Idempotency-Key": f"{MARKER}-{number}"}
        user.post(f"/workspaces/{workspace['id']}/tasks", json={"text": MARKER}, headers=key)
        request, *statements = spans()
    texts = [str(attributes(each, "db.")["db.query.text"]) for each in statements]
    assert len([text for text in texts if "insert into" in text]) == 2
    assert {parent(each) for each in statements} == {ids(request)[1]}
    assert request.name == "POST /workspaces/{workspace_id}/tasks"
    begins = [text for text in texts if text.startswith("begin")]
    assert all("set local app.user_id = E'?'" in text for text in begins)


@pytest.mark.parametrize("member", [MARKER, f"a%2F{MARKER}", f"/{MARKER}", f"a/{MARKER}", f"{MARKER}/"])
def test_the_id_of_a_member_in_a_path_is_not_in_the_span(user: httpx2.Client, member: str) -> None:
    path = f"/workspaces/{create_workspace(user)['id']}/members"
    spans()
    user.patch(f"{path}/{member}", json={"role": "viewer"})
    [request, *_] = spans()
    assert attributes(request, "url.path") == {"url.path": f"{path}/REDACTED"}


def test_each_parameter_of_a_path_is_a_uuid_or_the_id_of_a_member(on: Settings) -> None:
    """What else there were would be in the span."""
    paths = [route for route in create_app(on).routes if isinstance(route, APIRoute)]
    for route in paths:
        for param in route.dependant.path_params:
            info = param.field_info
            assert param.name == "user_id" or "UUID" in str(info.annotation), (route.path, param.name, info.annotation)


def test_an_error_of_the_database_is_in_both_spans_and_no_row(user: httpx2.Client, admin: psycopg.Connection) -> None:
    admin.execute("alter table app.tasks add constraint odd exclude (text with =)")
    admin.commit()
    assert user.post("/tasks", json={"text": MARKER}).status_code == 201
    spans()
    assert user.post("/tasks", json={"text": MARKER}).status_code == 500
    request, statement, *_ = spans()

    assert request.status.status_code is StatusCode.ERROR
    assert attributes(request, "http.response", "error.") == {"http.response.status_code": 500, "error.type": "500"}
    assert (statement.status.status_code, statement.status.description, statement.events) == (
        StatusCode.ERROR,
        None,
        (),
    )
    assert attributes(statement, "db.response", "error.") == {
        "db.response.status_code": "23P01",
        "error.type": "ExclusionViolationError",
    }


def test_what_the_database_is_asked_without_a_request_is_no_span(user: httpx2.Client) -> None:
    user.get("/health/live")
    [_] = spans()
    user.get("/health/live")  # while it is checked in the background, each second
    assert [span.kind for span in spans()] == [SpanKind.SERVER]


def test_without_the_setting_there_is_no_span(settings: Settings, access_log: AccessLog) -> None:
    EXPORTER.clear()
    with serving(settings) as address, caller(address, USER) as client:
        assert client.get("/tasks", headers=TRACED).status_code == 200
        assert client.get("/tasks").status_code == 200
        assert client.get("/tasks").status_code == 200
        assert [line.get("trace_id") for line in access_log()][:2] == [TRACE, None]
    assert EXPORTER.get_finished_spans() == ()
