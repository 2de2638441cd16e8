"""Several worker processes that count together: the directory that they share.

prometheus_client keeps the values of each process in files of such a directory, and whichever process is asked adds
them up (https://prometheus.github.io/client_python/multiprocess/). PROMETHEUS_MULTIPROC_DIR names it. Without that, the
workers of one parent (`uvicorn --workers`) make one of their own, as nobody would notice that each response has the
figures of one of them only.

Whoever shares the directory holds a lock on it, which the kernel releases however the process ends. So the first one
knows that what it finds there is of an earlier run, and the last one that nobody needs it any more.
"""

import fcntl
import hashlib
import logging
import multiprocessing
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector

log = logging.getLogger("partywall.metrics")

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "partywall-metrics-"
MARKER = "run"  # the file that says whose the others are
ROOM = 4 * 1024 * 1024  # bytes: what the workers of one start write at most before the next one asks

# A parent gives its workers a key that nobody else has. (It authenticates connections, so it is not shown.)
RUN = hashlib.sha256(b"metrics" + multiprocessing.current_process().authkey).hexdigest()[:32]


class Directory:
    """A directory with the values of several processes, of which this is one."""

    def __init__(self, path: Path, *, is_ours: bool) -> None:
        """Share it from now on. If it `is_ours` it is created, and removed by the last one. Raises OSError."""
        self.path = path
        self._is_ours = is_ours
        self._lock = _create_and_lock(path) if is_ours else _lock(path)
        with tempfile.TemporaryFile(dir=path) as file:  # or the first value would be a traceback
            file.write(bytes(ROOM))  # the values are in memory mapped files: without room SIGBUS ends the process

    def registry(self) -> CollectorRegistry:
        """Return the values of all processes; those of one that has ended without what it only had while it ran."""
        for file in self.path.glob("gauge_live*_*.db"):
            pid = file.stem.rpartition("_")[2]
            if pid.isdecimal() and not _is_running(int(pid)):
                file.unlink(missing_ok=True)  # two workers may be asked at the same time
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self.path))  # type: ignore[no-untyped-call]
        return registry

    def leave(self) -> None:
        """Remove it if it is ours, and nobody else shares it."""
        if self._is_ours:
            with suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # or this lock is gone: another will be the last
                shutil.rmtree(self.path)


def _create_and_lock(path: Path) -> int:
    """Return the lock on a directory of this user alone, which is created if no other worker has done so."""
    while True:
        with suppress(FileNotFoundError):  # another start has taken it for one that was left behind
            path.mkdir(mode=0o700, exist_ok=True)
            if path.lstat().st_uid != os.geteuid():
                raise PermissionError(f"{path} is another user's")
            lock = _lock(path)
            if os.path.samestat(path.stat(), os.fstat(lock)):
                return lock
            os.close(lock)


def _lock(path: Path) -> int:
    """Return a shared lock on a directory, which is emptied before if nobody has one and it is of another run."""
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _empty_unless_of_this_run(path)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def _empty_unless_of_this_run(path: Path) -> None:
    """Workers that were all killed at once have left what the next ones go on counting from."""
    marker = path / MARKER
    if not marker.exists() or marker.read_text() != RUN:
        for file in path.glob("*.db"):
            file.unlink()
        marker.write_text(RUN)


def _remove_left_behind(base: Path) -> None:
    for path in base.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, in use, or removed by another start
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(lock)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _base() -> Path:
    memory = Path("/dev/shm")  # noqa: S108 - no name in it can be guessed; a container may have no other place
    return memory if os.access(memory, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def _share() -> Directory | None:
    """Return the directory that this process shares; None if it counts alone. Raises OSError."""
    if given := os.environ.get(VARIABLE):
        return Directory(Path(given), is_ours=False)
    if multiprocessing.parent_process() is None:
        return None
    base = _base()
    _remove_left_behind(base)
    return Directory(base / f"{PREFIX}{RUN}", is_ours=True)


def require_directory() -> None:
    """Return if this process can count with the others. Raises SystemExit with a sentence if it was told how."""
    if error is None:
        return
    reason = os.strerror(error.errno) if error.errno else str(error)
    if given := os.environ.get(VARIABLE):
        raise SystemExit(f"Partywall does not start: {VARIABLE} {given}: {reason}")
    log.warning("/metrics has the figures of one worker only, as they found no directory to share: %s", reason)


def registry() -> CollectorRegistry:
    """Return what there is to show: of this process, or of all that share the directory."""
    return shared.registry() if shared else REGISTRY


# The values of a metric are where this says when it is made, so this module is imported before there is any.
shared: Directory | None = None
error: OSError | None = None
try:
    shared = _share()
except OSError as failure:
    error = failure
if shared:
    os.environ[VARIABLE] = str(shared.path)
values.ValueClass = values.MultiProcessValue() if shared else values.MutexValue  # type: ignore[no-untyped-call]
