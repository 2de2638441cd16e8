"""What was sent, what came back, and what broke a promise."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

SERVES_WITHIN = 5.0  # seconds after a fault, from which on every request that is sent succeeds
UNNOTICED = ("requests abandoned", "migration", "workers restarted", "network slow")  # faults that fail no request
MOST_SHOWN = 200  # violations that are kept in words


class Violation(NamedTuple):
    """A broken promise: which, how, and the request that found it, if it was one."""

    promise: str
    sentence: str
    request_id: str = ""


@dataclass
class Fault:
    """A fault that was injected. Times are those of the monotonic clock."""

    kind: str
    began: float
    over: float | None = None
    failed: int = 0  # requests
    failed_until: float = 0.0  # seconds after its beginning, when the last one of them failed
    recovered: float = 0.0  # seconds after its end, when the last one of them was sent


@dataclass
class Tally:
    """Counts responses, and says which fault a failed one is due to."""

    started: float = field(default_factory=time.monotonic)
    statuses: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)  # of the failed requests
    longest: float = 0.0  # seconds
    faults: list[Fault] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)  # violations by promise
    seconds: list[list[float]] = field(default_factory=list)  # of each: requests, failed ones, the longest response

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return self.statuses.total()

    def of_class(self, number: int) -> int:
        """Return how many responses had a status such as 2xx, if the number is 2."""
        return sum(count for status, count in self.statuses.items() if status // 100 == number)

    def count(self, status: int, reason: str, request_id: str, started: float, *, is_failure: bool) -> None:
        """Count a request that was sent at `started` and is over."""
        now = time.monotonic()
        self.statuses[status] += 1
        self.longest = max(self.longest, now - started)
        while len(self.seconds) <= now - self.started:
            self.seconds.append([0, 0, 0.0])
        second = self.seconds[int(now - self.started)]
        second[0] += 1
        second[2] = max(second[2], now - started)
        if status == 500:
            self.violation("contract", "a defect of the API: its log has the traceback", request_id)
        if status == 0 and reason == "timeout":
            self.violation("time", "there was no response", request_id)
        if is_failure:
            self.reasons[reason] += 1
            if reason != "abandoned":
                second[1] += 1
                self._blame(reason, request_id, started)

    def _blame(self, reason: str, request_id: str, started: float) -> None:
        """Count a failure for the last fault, if the request was not sent too long after it."""
        fault = self.faults[-1] if self.faults else None
        late = started - fault.over if fault and fault.over else 0.0
        if fault is None or late > SERVES_WITHIN:
            since = f"{late:.1f} s after the fault: {fault.kind}" if fault else "before any fault"
            self.violation("recovery", f"a request failed ({reason}), sent {since}", request_id)
        else:
            if fault.kind in UNNOTICED:
                self.violation("recovery", f"a request failed ({reason}) because of {fault.kind}", request_id)
            fault.failed += 1
            fault.failed_until = time.monotonic() - fault.began
            fault.recovered = max(fault.recovered, late)

    def violation(self, promise: str, sentence: str, request_id: str = "") -> None:
        """Note a broken promise."""
        self.broken[promise] += 1
        if len(self.violations) < MOST_SHOWN:
            self.violations.append(Violation(promise, sentence, request_id))
