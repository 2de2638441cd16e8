"""Faults: a standby, and requests that are under way while something breaks."""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from db.embedded import Cluster
from tests.support.waiting import eventually

Requests = Callable[[httpx2.Client], list[httpx2.Response]]


@contextlib.contextmanager
def replica_of(primary: str) -> Iterator[Cluster]:
    """Give a streaming standby of the server at `primary`, a superuser's URL."""
    with TemporaryDirectory(prefix="partywall-") as directory:
        standby = Cluster(Path(directory))
        standby.copy(primary)
        standby.start("fsync=off", "max_connections=200")
        yield standby
        if standby.is_running:
            standby.stop()


@contextlib.contextmanager
def under_load(clients: int, requests: Requests, connect: Callable[[], httpx2.Client]) -> Iterator[Counter[int]]:
    """Let so many clients repeat `requests`; give how many responses had which status, complete at the end."""
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def repeat() -> None:
        with connect() as client:
            while not over.is_set():
                statuses.update(response.status_code for response in requests(client))

    with ThreadPoolExecutor(clients) as threads:
        running = [threads.submit(repeat) for _ in range(clients)]
        try:
            eventually(lambda: bool(statuses))
            yield statuses
        finally:
            over.set()
    for future in running:
        future.result()


def requests(client: httpx2.Client) -> list[httpx2.Response]:
    """Read and write, also in two transactions."""
    created = client.post("/tasks", json={"text": "Buy milk"}, headers={"Idempotency-Key": os.urandom(8).hex()})
    if created.status_code != 201:
        return [created]
    path = created.headers["Location"]
    return [
        created,
        client.get(path),
        client.patch(path, json={"completed": True}),
        client.delete(path, headers={"If-Match": '"2026-01-01T00:00:00+00:00"'}),
        client.delete(path),
    ]


def assert_no_internal_error(statuses: Counter[int]) -> None:
    assert set(statuses) <= {200, 201, 204, 404, 412, 503}, statuses
