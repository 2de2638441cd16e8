"""ADMIN_PORT: /metrics and the reasons of /health are on a port of their own, and nowhere else."""

import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx2
import psycopg
import pytest

from api.settings import Settings
from tests.support.database import ROOT, Url
from tests.support.health import HEALTHY, assert_unavailable, state_of, wait_for_status
from tests.support.servers import serving, uvicorn_printing_to
from tests.support.tokens import JWT_SECRET


@pytest.fixture
def port() -> int:
    """Return a port that is free."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        number: int = probe.getsockname()[1]
        return number


def test_metrics_and_reasons_move_to_their_port(settings: Settings, port: int, admin: psycopg.Connection) -> None:
    with (
        serving(settings.model_copy(update={"admin_port": port})) as address,
        httpx2.Client(base_url=address) as public,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}") as private,
    ):
        assert public.get("/metrics").status_code == 404
        assert "http_request_duration_seconds" in private.get("/metrics").text
        for client in (public, private):
            assert state_of(client.get("/health")) == HEALTHY
            assert state_of(client.get("/health/db")) == {"database": "ok"}
            assert client.get("/health/live").json() == {"status": "ok"}

        admin.execute("alter table app.tasks disable row level security")
        admin.commit()
        hidden = wait_for_status(lambda: public.get("/health"), 503, seconds=20)
        assert_unavailable(hidden, database="ok", revision=HEALTHY["revision"])
        assert "app.tasks" not in hidden.text
        shown = private.get("/health")
        assert_unavailable(shown, database="ok", revision=HEALTHY["revision"], reasons=shown.json()["reasons"])
        assert "app.tasks: Row-level security is disabled" in shown.text


def test_the_admin_port_serves_no_tenant(settings: Settings, port: int) -> None:
    with serving(settings.model_copy(update={"admin_port": port})):
        for path in ("/tasks", "/docs", "/openapi.json", "/nowhere"):
            response = httpx2.get(f"http://127.0.0.1:{port}{path}")
            assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
        response = httpx2.post(f"http://127.0.0.1:{port}/health")
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{port}/health")


def test_workers_share_the_admin_port(url: Url, tmp_path: Path, port: int) -> None:
    with uvicorn_printing_to(tmp_path / "log", url("app_api"), workers=2, ADMIN_PORT=str(port)) as address:
        assert httpx2.get(f"{address}/metrics").status_code == 404
        for _ in range(10):
            assert state_of(httpx2.get(f"http://127.0.0.1:{port}/health")) == HEALTHY


def test_a_port_that_is_taken_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = other.getsockname()[1]
        environment = {"DATABASE_URL": "postgresql://app_api@127.0.0.1:1/nowhere", "JWT_SECRET": JWT_SECRET}
        command = [sys.executable, "-m", "uvicorn", "api.main:app", "--app-dir", str(ROOT), "--port", "0"]
        done = subprocess.run(
            command,
            env=environment | {"ADMIN_PORT": str(taken)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 3  # by which uvicorn's parent of workers stops, too
    assert f'"Partywall does not start: ADMIN_PORT {taken} of 127.0.0.1: Address already in use"' in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
