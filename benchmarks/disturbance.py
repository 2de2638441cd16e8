"""How busy other processes keep the cores that the benchmark runs on, which distorts what it measures. Linux only."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")  # per second
TOO_MUCH = 0.1  # cores
# user, nice, system and steal, which is what other machines on the same hardware took. Interrupts are nobody's.
BUSY = (0, 1, 2, 7)


@dataclass(frozen=True)
class Sample:
    """The CPU time that has been used until now, in seconds, and when that was."""

    at: float
    busy: float
    own: float

    @classmethod
    def take(cls, roots: Sequence[int]) -> Self | None:
        """Return the time of all processes, and of `roots` with all that they have started; None if nobody tells."""
        try:
            return cls(time.monotonic(), _busy(), _own(roots))
        except (OSError, ValueError, IndexError):
            return None

    def others_until(self, later: "Sample") -> float:
        """Return how many cores other processes have used in between, on average."""
        used = (later.busy - self.busy) - (later.own - self.own)
        return max(0.0, used / (later.at - self.at))


def _busy() -> float:
    """Return the busy time of the cores that this process may use. Raises OSError or ValueError."""
    lines = [line.split() for line in (PROC / "stat").read_text().splitlines()]
    cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    times = [[int(time) for time in times] for name, *times in lines if name in cores]
    if not times:
        raise ValueError("no core is listed")
    return sum(core[field] for core in times for field in BUSY) / TICKS


def _own(roots: Sequence[int]) -> float:
    """Return the time of processes, of their descendants, and of all that these have waited for."""
    times: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for process, parent, ticks in _processes():
        times[process] = ticks
        children.setdefault(parent, []).append(process)
    own = [*roots]
    for process in own:  # grows while it is read
        own += children.get(process, ())
    return sum(times.get(process, 0) for process in {*own}) / TICKS


def _processes() -> Iterator[tuple[int, int, int]]:
    """Yield each process, its parent, and the ticks that it and its ended children have used."""
    for directory in PROC.iterdir():
        if directory.name.isdigit():
            try:
                stat = (directory / "stat").read_text()
            except OSError:  # it has ended
                continue
            # The name, in parentheses, may contain anything.
            _, parent, *fields = re.sub(r"^.*\) ", "", stat, flags=re.DOTALL).split()
            yield int(directory.name), int(parent), sum(map(int, fields[9:13]))
