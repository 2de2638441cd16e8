"""Workers of uvicorn and their parent: neither goes on without the other."""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys

log = logging.getLogger("partywall")


def end_with_parent() -> None:
    """Shut down when the parent has ended, in whatever way: otherwise a worker would keep the port, and serve on."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(parent.sentinel)
        log.warning("the parent process has ended")
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(parent.sentinel, end)


def end_parent() -> None:
    """End the parent of a worker that cannot start, so that it has an exit code.

    For the exit code 3 of a worker uvicorn's parent stops, but with 0; for any other it starts the next one. This is a
    signal that it does not handle. With --reload it waits for a change of the code, and is left alone.
    """
    parent = multiprocessing.parent_process()
    reloads = "--reload" in sys.argv or "UVICORN_RELOAD" in os.environ
    if parent and parent.pid == os.getppid() and not reloads:
        os.kill(parent.pid, signal.SIGALRM)
