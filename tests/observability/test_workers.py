"""/metrics of several workers: whichever responds has the figures of all, and of those that ended what they counted."""

import errno
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from db.processes import PREFIX, ROOM, VARIABLE, Directory, require_directory
from tests.support.database import ROOT, Url
from tests.support.metrics import figures, requests
from tests.support.servers import NO_TLS, address_of, starting_uvicorn
from tests.support.tokens import JWT_SECRET, bearer, make_token
from tests.support.waiting import eventually

MEMORY = Path("/dev/shm")  # noqa: S108 - where the API makes its directory, too
SIZE = 'partywall_pool_size{database="primary"}'


def directories() -> set[Path]:
    return {*MEMORY.glob(f"{PREFIX}*")}


def list_tasks(address: str, times: int) -> None:
    """Call on connections of their own, for whichever worker takes each."""
    for _ in range(times):
        assert httpx2.get(f"{address}/tasks", headers=bearer(make_token("alice")), verify=NO_TLS).status_code == 200


@contextmanager
def running(log: Path, database_url: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run two workers; give their parent and their address."""
    with starting_uvicorn(log, database_url, "--workers", "2", **environment) as parent:
        yield parent, address_of(parent, log, 2)


def workers(log: Path) -> list[str]:
    """Return the process ids of those that have started so far."""
    return re.findall(r"Started server process \[(\d+)\]", log.read_text())


@pytest.mark.skipif(not MEMORY.is_dir(), reason="a platform without /dev/shm")
def test_workers_share_a_directory_by_themselves_and_what_a_killed_one_has_counted_stays(
    url: Url, tmp_path: Path
) -> None:
    before = directories()
    left_behind = MEMORY / f"{PREFIX}of a parent that was killed"
    left_behind.mkdir()
    log = tmp_path / "log"

    with running(log, url("app_api")) as (parent, address):
        [ours] = directories() - before
        assert stat.S_IMODE(ours.stat().st_mode) == 0o700
        list_tasks(address, 20)
        assert requests(address, "/tasks") == 20
        eventually(lambda: figures(address)[SIZE] == 20)  # twice DATABASE_POOL_SIZE

        killed, other = workers(log)
        os.kill(int(killed), signal.SIGKILL)
        while log.read_text().count("Application startup complete") < 3:
            assert figures(address)["partywall_ready"] == 1  # the next one is no reason, although it is not ready yet
        address_of(parent, log, 3)
        [new] = {*workers(log)} - {killed, other}
        assert (ours / f"gauge_livesum_{new}.db").exists()
        assert requests(address, "/tasks") == 20
        eventually(lambda: figures(address)[SIZE] == 20)
        assert not [*ours.glob(f"gauge_live*_{killed}.db")]
        assert figures(address)["partywall_ready"] == 1
        list_tasks(address, 5)
        assert requests(address, "/tasks") == 25
        # Without DATABASE_REPLICA_URL and JWT_JWKS_URL.
        absent = ("partywall_replica_used", "partywall_replica_lag_seconds", "partywall_jwks_fetched_timestamp_seconds")
        assert not figures(address).keys() & {*absent}

    assert directories() - before == set()


def test_a_directory_that_is_given_is_emptied_of_an_earlier_run(url: Url, tmp_path: Path) -> None:
    directory = tmp_path / "metrics"
    directory.mkdir()
    for run in (1, 2):
        with running(tmp_path / "log", url("app_api"), **{VARIABLE: str(directory)}) as (_, address):
            list_tasks(address, 3)
            assert requests(address, "/tasks") == 3, run
            eventually(lambda: figures(address)[SIZE] == 20)
        assert len([*directory.glob("histogram_*.db")]) == 2
        if run == 1:  # a process that has the number of one of the next run, as in a container
            for file in [*directory.glob("*.db")]:
                shutil.copy(file, directory / f"{file.stem.rpartition('_')[0]}_{os.getpid()}.db")


@pytest.mark.parametrize(
    ("name", "why", "workers", "code"),
    [("nowhere", "No such file or directory", 1, 3), ("log", "Not a directory", 2, -signal.SIGALRM)],
)
def test_a_directory_that_cannot_be_used_stops_the_start_with_a_sentence(
    tmp_path: Path, name: str, why: str, workers: int, code: int
) -> None:
    path = tmp_path / name
    (tmp_path / "log").touch()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "api.main:app",
            "--app-dir",
            str(ROOT),
            f"--workers={workers}",
            "--port=0",
        ],
        env={"DATABASE_URL": "postgresql://app_api@127.0.0.1:1/x", "JWT_SECRET": JWT_SECRET, VARIABLE: str(path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert f"Partywall does not start: {VARIABLE} {path}: {why}" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_directory_without_room_cannot_be_used(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM - 1, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            Directory(tmp_path, is_ours=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_workers_without_any_place_for_a_directory_say_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("db.processes.error", PermissionError(errno.EACCES, ""))
    require_directory()
    assert caplog.messages == [
        "/metrics has the figures of one worker only, as they found no directory to share: Permission denied"
    ]


def test_a_single_process_shares_nothing_and_has_no_metric_of_what_it_does_not_use(url: Url, tmp_path: Path) -> None:
    before = directories()
    with starting_uvicorn(tmp_path / "log", url("app_api"), **{VARIABLE: ""}) as process:
        address = address_of(process, tmp_path / "log", 1)
        exported = figures(address)
        assert exported["process_open_fds"] > 0
        assert not [name for name in exported if name.startswith(("partywall_replica", "partywall_jwks_fetched"))]
        assert directories() == before
    assert not [*tmp_path.glob("*.db")]
