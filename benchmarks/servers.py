"""The contenders in Python, and how each contender is served."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from benchmarks.stage import ROOT, BenchmarkError, Stage

# Partywall logs each request itself, the others log nothing; uvicorn's own log would be the same for all.
UVICORN = ("--host", "127.0.0.1", "--no-server-header", "--no-access-log", "--log-level", "warning")

STARTS_WITHIN = 30.0  # seconds


@dataclass(frozen=True)
class Contender:
    """The command that serves a design on a port, the role that it logs in as, and its own settings."""

    name: str
    command: tuple[str, ...]
    role: str = "app_api"
    settings: tuple[tuple[str, str], ...] = ()
    graphql: bool = False


def asgi(name: str, app: str, role: str = "app_api", **settings: str) -> Contender:
    """Return a contender that uvicorn serves, all of them with the same options."""
    command = (sys.executable, "-m", "uvicorn", app, *UVICORN, "--port", "{port}", "--workers", "{workers}")
    return Contender(name, command, role, (*settings.items(),))


PARTYWALL = asgi("partywall", "api.main:app")
THREE_TRIPS = asgi("three_trips", "api.main:app", DATABASE_PIPELINING="false")
NO_RLS = asgi("no_rls", "benchmarks.contenders.no_rls:app", "bench_bypass")
NAIVE_RLS = asgi("naive_rls", "benchmarks.contenders.naive_rls:app")
SQLMODEL = asgi("sqlmodel", "benchmarks.contenders.sqlmodel_orm:app", "bench_bypass")
CEILING = asgi("ceiling", "benchmarks.contenders.ceiling:app")


@dataclass(frozen=True)
class Server:
    """A contender that is being served."""

    contender: Contender
    url: str
    pid: int

    def memory(self) -> float:
        """Return the resident memory in MiB: of the worker, if there is one; of the parent, if there are several."""
        _, resident, *_ = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(resident) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def serving(stage: Stage, contender: Contender, database_url: str, *, workers: int = 1) -> Iterator[Server]:
    """Serve a contender on a free port. Its log goes to a file."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [part.format(port=port, workers=workers) for part in contender.command]
    environment = stage.environment(database_url) | dict(contender.settings) | {"PORT": str(port)}
    log = stage.directory / f"{contender.name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    server = Server(contender, f"http://127.0.0.1:{port}", process.pid)
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not _responds(server, stage.token(0)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"{contender.name} does not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait()


def _responds(server: Server, token: str) -> bool:
    """Return whether it serves; GraphQL's path takes no GET, and says so."""
    path, status = ("/graphql", 405) if server.contender.graphql else ("/tasks?sort=-created", 200)
    with suppress(httpx2.TransportError):
        response = httpx2.get(f"{server.url}{path}", headers={"Authorization": f"Bearer {token}"})
        return response.status_code == status
    return False
