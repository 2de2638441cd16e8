"""The app under test, served on a port, and who calls it."""

import asyncio
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from api.http.server import Protocol
from api.main import create_app
from api.settings import Settings
from tests.support.database import ROOT
from tests.support.tokens import JWT_SECRET, bearer, make_token

AccessLog = Callable[[], list[dict[str, Any]]]

# To read the certificates of this machine takes longer than most tests, and nobody here is called by TLS.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TICK = 0.005  # seconds


class Server(uvicorn.Server):
    """Uvicorn's, which ends as soon as it can: that one waits a tenth of a second, again and again."""

    async def main_loop(self) -> None:
        """Return when the server is to end."""
        while not await self.on_tick(0):  # noqa: ASYNC110 - another thread says so
            await asyncio.sleep(TICK)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what uvicorn's ends, in the same order, when the last connection has closed."""
        del sockets
        for server in self.servers:
            server.close()
        for connection in [*self.server_state.connections]:
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(TICK)
        await self.lifespan.shutdown()


@contextmanager
def serving(settings: Settings, *, http: type[asyncio.Protocol] = Protocol, root_path: str = "") -> Iterator[str]:
    """Serve the real app on a free port of 127.0.0.1; give its address."""
    options: dict[str, Any] = {"port": 0, "log_config": None, "lifespan": "on", "http": http, "root_path": root_path}
    server = Server(uvicorn.Config(create_app(settings), **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(TICK)
    try:
        yield "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def uvicorn_printing_to(log: Path, database_url: str, *, workers: int = 1, **environment: str) -> Iterator[str]:
    """Run `uvicorn api.main:app` as production does; give its address when all workers have started."""
    with starting_uvicorn(log, database_url, "--workers", str(workers), **environment) as process:
        yield address_of(process, log, workers)


def address_of(process: subprocess.Popen[bytes], log: Path, workers: int) -> str:
    """Return the address of a uvicorn when all its workers have started."""
    while log.read_text().count("Application startup complete") < workers or not (
        address := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
    ):
        assert process.poll() is None
        time.sleep(0.02)
    return address[0]


@contextmanager
def starting_uvicorn(
    log: Path, database_url: str, *options: str, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `uvicorn api.main:app` on a free port; give its process at once."""
    ours = {"DATABASE_URL": database_url, "JWT_SECRET": JWT_SECRET, "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-m", "uvicorn", "api.main:app", "--app-dir", str(ROOT), "--port", "0", *options]
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env=os.environ | ours | environment, cwd=log.parent, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def caller(base_url: str, subject: str) -> httpx2.Client:
    """Return a client that calls as `subject`."""
    return httpx2.Client(base_url=base_url, headers=bearer(make_token(subject)), verify=NO_TLS)


@contextmanager
def calling(database_url: str, **more: Any) -> Iterator[httpx2.Client]:
    """Serve the app on this database, with these settings; give a client without a token."""
    settings = Settings(_env_file=None, database_url=database_url, jwt_secret=JWT_SECRET, database_pool_size=2, **more)
    with serving(settings) as address, httpx2.Client(base_url=address, timeout=30, verify=NO_TLS) as client:
        yield client
