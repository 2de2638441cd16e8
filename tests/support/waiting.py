"""Requests that meet: each is held at the same row or table until all are there."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import psycopg

Call = Callable[[], httpx2.Response]

WAITING = """
    select count(*) from pg_stat_activity
    where usename = 'app_api' and datname = current_database() and wait_event_type = 'Lock'
"""


def at_once(admin: psycopg.Connection, lock: str, calls: Sequence[Call]) -> list[httpx2.Response]:
    """Start `calls` one by one; each waits for what `lock` locks. One row goes to the first of them first."""
    with ThreadPoolExecutor(len(calls)) as threads, held(admin, lock):
        futures: list[Future[httpx2.Response]] = []
        for call in calls:
            futures.append(threads.submit(call))
            wait_for(admin, len(futures))
        admin.commit()
        return [future.result() for future in futures]


@contextmanager
def held(admin: psycopg.Connection, lock: str) -> Iterator[None]:
    """Hold what the statement `lock` locks, until the commit."""
    admin.execute(lock.encode())
    try:
        yield
    finally:
        admin.rollback()


def wait_for(admin: psycopg.Connection, number: int) -> None:
    """Return when so many requests wait for a lock."""
    deadline = time.monotonic() + 10
    while admin.execute(WAITING).fetchone() != (number,):
        assert time.monotonic() < deadline, "a request does not wait"
        admin.execute("select pg_stat_clear_snapshot()")
        time.sleep(0.005)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what happens in the background."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
