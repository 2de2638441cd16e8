"""OpenTelemetry as it runs in production: configured by the environment, or off and free."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.database import ROOT, Url
from tests.support.servers import caller, uvicorn_printing_to
from tests.support.tokens import JWT_SECRET

USER = "marker-4711@example.com"
NOWHERE = {"DATABASE_URL": "postgresql://app_api@127.0.0.1:1/nowhere", "JWT_SECRET": JWT_SECRET}


class Collector(ThreadingHTTPServer):
    """Receives traces by OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.received: list[tuple[str, bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    @property
    def spans(self) -> list[tuple[str, str, str]]:
        """Return of each span the service, the trace and the name."""
        found = []
        for _, body in self.received:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                [service] = [
                    each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
                ]
                for scope in resource.scope_spans:
                    found += [(service, span.trace_id.hex(), span.name) for span in scope.spans]
        return found


class Receiver(BaseHTTPRequestHandler):
    """Takes one export."""

    server: Collector

    def do_POST(self) -> None:
        self.server.received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, args=[0.02])
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def test_workers_send_the_spans_of_all_requests_before_they_end(url: Url, tmp_path: Path) -> None:
    traces = [f"{number:032x}" for number in range(1, 21)]
    with collecting() as collector:
        log = tmp_path / "log"
        environment = {"OPENTELEMETRY": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with uvicorn_printing_to(log, url("app_api"), workers=2, **environment) as address:
            for trace_id in traces:  # each on a connection of its own, for whichever worker takes it
                with caller(address, USER) as client:
                    headers = {
                        "traceparent": f"00-{trace_id}-{'7' * 16}-01",
                        "tracestate": USER,  # neither it nor the other is valid
                        "baggage": USER,
                    }
                    assert client.post("/tasks", json={"text": USER}, headers=headers).status_code == 201
        spans, sent = collector.spans, b"".join(body for _, body in collector.received)

    assert {path for path, _ in collector.received} == {"/v1/traces"}
    assert sorted(trace for _, trace, name in spans if name == "POST /tasks") == traces
    assert {service for service, _, _ in spans} == {"partywall"}
    assert {trace for _, trace, name in spans if name == "with"} == {*traces}
    assert b"insert into app.tasks" in sent
    assert USER.encode() not in sent + log.read_bytes()


def run(code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        command, env=clean | NOWHERE | environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


UVICORN = "from uvicorn.main import main; main(['api.main:app', '--port', '0'])"


@pytest.mark.parametrize("package", ["opentelemetry.sdk.trace", "opentelemetry.instrumentation.asyncpg"])
def test_a_package_that_is_missing_stops_the_start_with_a_sentence(package: str, tmp_path: Path) -> None:
    done = run(f"sys.modules[{package!r}] = None; {UVICORN}", tmp_path, OPENTELEMETRY="true")
    assert done.returncode == 3
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("Partywall does not start: OPENTELEMETRY needs packages that are not installed: install")
    assert "requirements-otel.txt" in sentence
    assert done.stdout == ""


def test_nothing_of_opentelemetry_is_imported_but_what_fastapi_imports() -> None:
    names = "print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))"
    ours, theirs = (
        run(f"{code}; {names}", ROOT.parent) for code in ("import api.main; api.main.app", "import fastapi")
    )
    assert ours.stdout.splitlines()[-1] == theirs.stdout.strip()
    assert "opentelemetry.sdk" not in ours.stdout


def test_traces_that_are_sent_nowhere_are_a_warning(tmp_path: Path) -> None:
    done = run("import api.main; api.main.app", tmp_path, OPENTELEMETRY="true")
    assert done.stdout.count("OPENTELEMETRY is on, and no trace is sent: set OTEL_EXPORTER_OTLP_ENDPOINT") == 1
    elsewhere = run(
        "import api.main; api.main.app", tmp_path, OPENTELEMETRY="true", OTEL_EXPORTER_OTLP_ENDPOINT="http://c"
    )
    assert (elsewhere.returncode, elsewhere.stdout) == (0, "")
