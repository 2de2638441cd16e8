"""What the soak runs against: PostgreSQL as in production, a network that can fail, the API with several workers."""

import multiprocessing
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from api.settings import Settings
from benchmarks.proxy import Proxy
from benchmarks.stage import ROOT, BenchmarkError, migrate
from db.embedded import DATABASE, Cluster, EmbeddedPostgresError

WORKERS = 2
STARTS_WITHIN = 60.0  # seconds, on a busy machine
STOPS_WITHIN = 40.0  # seconds: uvicorn waits 20 for its workers
# PostgreSQL's defaults, written down because all depends on them: what is committed survives a crash.
DURABLE = ("fsync=on", "full_page_writes=on", "synchronous_commit=on", "max_connections=100", "max_wal_size=2GB")
# A worker has 5 seconds to start or uvicorn gives up to replace the old one, and a busy machine takes longer.
SLOW_START = ("--timeout-worker-healthcheck", "30")
WORKER = "spawn_main"  # in the command line of each worker of uvicorn


class Network:
    """A proxy in a process of its own: in this one it would compete with the client."""

    def __init__(self, process_end: Connection, port: int) -> None:
        """Control the proxy by `process_end`."""
        self._end = process_end
        self.url = f"postgresql://app_api@127.0.0.1:{port}/{DATABASE}?sslmode=disable"

    def set_delay(self, seconds: float) -> None:
        """Make each round trip so much longer."""
        self._end.send(("delay", seconds))

    def hang(self) -> None:
        """Pass on nothing more."""
        self._end.send(("hangs", True))

    def cut(self) -> None:
        """Break all connections, and pass on what comes on new ones."""
        self._end.send(("cut", None))


class Log:
    """The log of the API, which is read once only, for it becomes large."""

    def __init__(self, file: Path) -> None:
        """Read `file` from its beginning."""
        self.file = file
        self._offset = 0
        self._starts = 0

    @property
    def starts(self) -> int:
        """How often a worker has started to serve."""
        with self.file.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):  # it is being written
                    break
                self._offset += len(line)
                self._starts += b"Application startup complete" in line
        return self._starts


@dataclass
class Site:
    """All that runs."""

    directory: Path
    cluster: Cluster
    network: Network
    api: "subprocess.Popen[bytes]"
    port: int
    secret: str
    log: Log

    @property
    def workers(self) -> list[int]:
        """The processes that serve requests."""
        return [pid for pid in _children(self.api.pid) if WORKER in _file(pid, "cmdline")]

    @property
    def postmaster(self) -> int:
        """PostgreSQL's first process."""
        return int((self.directory / "postgres" / "postmaster.pid").read_text().split()[0])

    def administer(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser, who needs no network; return its rows."""
        with psycopg.connect(self.cluster.url("postgres"), autocommit=True) as admin:
            cursor = admin.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def wait_for_database(self) -> None:
        """Return when PostgreSQL serves. Raises BenchmarkError."""
        self._wait(lambda: bool(self.administer("select 1")), "PostgreSQL does not serve")

    def wait_for_starts(self, count: int) -> None:
        """Return when workers have started so often. Raises BenchmarkError."""
        self._wait(lambda: self.log.starts >= count, "no worker has started")

    def _wait(self, is_done: Callable[[], bool], sentence: str) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while not _tries(is_done):
            if self.api.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"{sentence}: {self.log.file.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def start_database(self) -> None:
        """Start PostgreSQL; after a crash, when its last processes have ended. Raises EmbeddedPostgresError."""
        deadline = time.monotonic() + STARTS_WITHIN
        while True:
            try:
                return self.cluster.start(*DURABLE)
            except EmbeddedPostgresError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def connections(self) -> int:
        """Return how many connections the API has to PostgreSQL."""
        [(count,)] = self.administer("select count(*) from pg_stat_activity where usename = 'app_api'")
        return int(count)

    def postgres_memory(self) -> list[float]:
        """Return the MiB that each of PostgreSQL's processes has for itself, without what they share."""
        postmaster = self.postmaster
        return [*map(_own_memory, [postmaster, *_children(postmaster)])]

    def worker_memory(self) -> dict[int, float]:
        """Return the resident MiB of each worker."""
        page = os.sysconf("SC_PAGE_SIZE") / 2**20
        return {pid: int(statm[1]) * page for pid in self.workers if (statm := _file(pid, "statm").split())}


@contextmanager
def running() -> Iterator[Site]:
    """Start everything, on free ports and in a temporary directory; at the end stop all and remove it."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="partywall-soak-")))
        cluster = stack.enter_context(_postgres(directory))
        network = stack.enter_context(_network(cluster))
        secret = secrets.token_urlsafe(48)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        api = stack.enter_context(_api(directory, network.url, secret, port))
        site = Site(directory, cluster, network, api, port, secret, Log(directory / "api.log"))
        site.wait_for_starts(WORKERS)
        yield site


@contextmanager
def _postgres(directory: Path) -> Iterator[Cluster]:
    cluster = Cluster(directory)
    cluster.create()
    cluster.start(*DURABLE)
    try:
        cluster.prepare()
        migrate(cluster.url("app_migrator"))
        yield cluster
    finally:
        if cluster.is_running:
            cluster.stop()


@contextmanager
def _network(cluster: Cluster) -> Iterator[Network]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_pass_on, args=(theirs, cluster.socket_directory / ".s.PGSQL.5432"), daemon=True)
    process.start()
    try:
        yield Network(ours, ours.recv())
    finally:
        process.terminate()
        process.join()


def _pass_on(control: Connection, upstream: Path) -> None:
    """Be the network until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    proxy = Proxy(upstream, 0.0)
    control.send(proxy.port)
    threading.Thread(target=proxy.serve, daemon=True).start()
    while True:
        try:
            name, value = control.recv()
        except EOFError:
            return
        if name == "cut":
            proxy.hangs = False
            proxy.cut()
        else:
            setattr(proxy, name, value)
            proxy.wake()


@contextmanager
def _api(directory: Path, database_url: str, secret: str, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    ours = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-m", "uvicorn", "api.main:app", "--app-dir", str(ROOT), "--no-access-log"]
    with (directory / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--workers", str(WORKERS), *SLOW_START],
            cwd=directory,  # without the .env of a developer
            env=environment | {"DATABASE_URL": database_url, "JWT_SECRET": secret},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the soak, which ends this
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _tries(is_done: Callable[[], bool]) -> bool:
    try:
        return is_done()
    except psycopg.OperationalError:
        return False


def _file(pid: int, name: str) -> str:
    """Return a file of /proc; nothing if the process has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    return [int(child) for child in _file(pid, f"task/{pid}/children").split()]


def _own_memory(pid: int) -> float:
    found = re.search(r"^Pss_Anon:\s+(\d+) kB", _file(pid, "smaps_rollup"), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
