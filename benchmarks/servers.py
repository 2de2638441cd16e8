"""The contenders, and how each is served: by uvicorn, all with the same settings."""

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


@dataclass(frozen=True)
class Contender:
    """An ASGI app and the role that it logs in as."""

    name: str
    app: str
    role: str


PARTYWALL = Contender("partywall", "api.main:app", "app_api")
NO_RLS = Contender("no_rls", "benchmarks.contenders.no_rls:app", "bench_bypass")
NAIVE_RLS = Contender("naive_rls", "benchmarks.contenders.naive_rls:app", "app_api")
SQLMODEL = Contender("sqlmodel", "benchmarks.contenders.sqlmodel_orm:app", "bench_bypass")
CEILING = Contender("ceiling", "benchmarks.contenders.ceiling:app", "app_api")

# What is compared most closely is adjacent here, because it then runs right after each other.
CONTENDERS = (PARTYWALL, NO_RLS, NAIVE_RLS, SQLMODEL, CEILING)

# Partywall logs each request itself, the others log nothing; uvicorn's own log would be the same for all.
UVICORN = ("--host", "127.0.0.1", "--no-server-header", "--no-access-log", "--log-level", "warning")

STARTS_WITHIN = 30.0  # seconds


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
    command = [sys.executable, "-m", "uvicorn", contender.app, *UVICORN]
    command += ["--port", str(port), "--workers", str(workers)]
    log = stage.directory / f"{contender.name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=stage.environment(database_url), stdout=output, stderr=subprocess.STDOUT
        )
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
    with suppress(httpx2.TransportError):
        response = httpx2.get(f"{server.url}/tasks?sort=-created", headers={"Authorization": f"Bearer {token}"})
        return response.status_code == httpx2.codes.OK
    return False
