"""A disk without space: writes are told so, reads are served."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests.support.health import wait_for_status
from tests.support.tasks import add

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB, on which the server may write."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if not (mount and unmount) or os.geteuid() or "TEST_DATABASE_URL" in os.environ:
        pytest.skip("to fill a disk takes root, who can mount one, and the embedded PostgreSQL")
    disk = [mount, "-t", "tmpfs", "-o", "size=4m,mode=777", "tmpfs", str(tmp_path)]
    if subprocess.run(disk, check=False, capture_output=True).returncode:
        pytest.skip("this root may not mount a disk to fill")
    yield tmp_path
    subprocess.run([unmount, "--lazy", str(tmp_path)], check=True)


@pytest.fixture
def filled(small_disk: Path, admin: psycopg.Connection) -> Iterator[Path]:
    """A file that fills the disk on which the tasks are."""
    (small_disk / "tasks").mkdir(mode=0o700)
    server = pwd.getpwnam("nobody")
    os.chown(small_disk / "tasks", server.pw_uid, server.pw_gid)
    admin.rollback()
    admin.autocommit = True
    admin.execute(f"create tablespace small location '{small_disk / 'tasks'}'")
    admin.execute("alter table app.tasks set tablespace small")
    filler = small_disk / "filler"
    with filler.open("wb", 0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield filler
    filler.unlink(missing_ok=True)
    admin.execute("alter table app.tasks set tablespace pg_default")
    admin.execute("drop tablespace small")


def test_a_full_disk_is_told_as_what_it_is_and_reads_are_served(alice: httpx2.Client, filled: Path) -> None:
    for _ in range(3):
        response = alice.post("/tasks", json={"text": "Buy milk"})
        assert (response.status_code, response.json()["code"]) == (503, "database_full")
        assert int(response.headers["Retry-After"]) > 0
        assert alice.get("/tasks").json()["items"] == []

    filled.unlink()
    assert wait_for_status(lambda: alice.post("/tasks", json={"text": "Buy milk"}), 201).status_code == 201
    assert add(alice)
