"""What the soak found, as JSON and as text."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.soak.compare import Comparison
from benchmarks.soak.servers import WORKERS
from benchmarks.soak.tally import SERVES_WITHIN, UNNOTICED, Fault, Tally

LONGEST = 20.0  # seconds: a transaction may take 14, and a request two of them if the first found nothing to do
GROWTH, ALLOWANCE = 1.5, 20.0  # what a process may take after a while: times what it took, plus MiB
# DATABASE_POOL_SIZE, and one each that asks whether the database responds and whether it is ready.
CONNECTIONS = WORKERS * (10 + 2)
POINTS = 240  # of the timeline

PROMISES = {
    "rows": "each acknowledged row is there once, as acknowledged, and no other",
    "isolation": "no response has a row of another tenant",
    "contract": "each response is what docs/frontend.md says, and none is a 500",
    "recovery": f"{SERVES_WITHIN:.0f} seconds after a fault every request succeeds; {', '.join(UNNOTICED)}: always",
    "time": f"no response takes longer than {LONGEST:.0f} seconds",
    "memory": f"no worker, and no process of PostgreSQL on average, grows by more than half and {ALLOWANCE:.0f} MiB",
    "connections": f"the API has no more than {CONNECTIONS} connections to PostgreSQL when it is calm",
}


def check_resources(tally: Tally, samples: Mapping[str, list[float]], connections: int) -> None:
    """Note what is broken of the last promises. `samples` are MiB of each process, at regular times."""
    for process, mib in samples.items():
        if mib[-1] > mib[0] * GROWTH + ALLOWANCE:
            tally.violation("memory", f"{process} has grown from {mib[0]:.0f} to {mib[-1]:.0f} MiB")
    if connections > CONNECTIONS:
        tally.violation("connections", f"there are {connections}")
    if tally.longest > LONGEST:
        tally.violation("time", f"a response took {tally.longest:.1f} seconds")


def results(tally: Tally, rows: Comparison, resources: Mapping[str, Any], **more: object) -> dict[str, Any]:
    """Return the figures of a run."""
    return {
        **more,
        "requests": tally.requests,
        "requests_per_second": round(tally.requests / max(1, len(tally.seconds))),
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items()) if status},
        "failed": dict(tally.reasons.most_common()),
        "longest_seconds": round(tally.longest, 2),
        "rows": vars(rows),
        "faults": faults(tally.faults),
        "resources": resources,
        "promises": {sentence: tally.broken[name] for name, sentence in PROMISES.items()},
        "violations": [each._asdict() for each in tally.violations],
        "timeline": timeline(tally),
    }


def faults(injected: list[Fault]) -> dict[str, dict[str, float]]:
    """Return each kind: how often, how many requests failed, and the longest times in seconds.

    How long it lasted; from its beginning until the last request failed; from its end until the last of those was sent.
    """
    kinds: dict[str, dict[str, float]] = {}
    for fault in injected:
        kind = kinds.setdefault(
            fault.kind, dict.fromkeys(("times", "seconds", "failed", "failed_for", "recovered_after"), 0)
        )
        kind["times"] += 1
        kind["seconds"] = max(kind["seconds"], round((fault.over or fault.began) - fault.began, 1))
        kind["failed"] += fault.failed
        kind["failed_for"] = max(kind["failed_for"], round(fault.failed_until, 1))
        kind["recovered_after"] = max(kind["recovered_after"], round(fault.recovered, 2))
    return kinds


def timeline(tally: Tally) -> dict[str, Any]:
    """Return requests and failed ones per second, the longest response, and when which fault was injected."""
    step = -(-len(tally.seconds) // POINTS) or 1
    parts = [tally.seconds[start : start + step] for start in range(0, len(tally.seconds), step)]
    return {
        "step_seconds": step,
        "requests": [round(sum(second[0] for second in part) / len(part)) for part in parts],
        "failed": [round(sum(second[1] for second in part) / len(part), 1) for part in parts],
        "longest": [round(max(second[2] for second in part), 2) for part in parts],
        "faults": [
            [each.kind, round(each.began - tally.started, 1), round((each.over or each.began) - tally.started, 1)]
            for each in tally.faults
        ],
    }


def text(found: Mapping[str, Any]) -> str:
    """Return the report for a person."""
    return "\n".join(_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    rows = found["rows"]
    pace = f"{found['minutes']} minutes, {found['requests_per_second']:,} per second"
    yield f"requests            {found['requests']:,} in {pace}"
    for name in "2345":
        statuses = {status: count for status, count in found["statuses"].items() if status[0] == name}
        yield f"  {name}xx               {sum(statuses.values()):,}: {_counts(statuses)}"
    yield f"  failed            {sum(found['failed'].values()):,}: {_counts(found['failed'])}"
    yield f"longest response    {found['longest_seconds']:.1f} s"
    yield f"rows acknowledged   {rows['acknowledged']:,}, found {rows['found']:,}, of {found['created']:,} created"
    yield f"rows in doubt       {rows['doubtful']:,}, found {rows['doubtful_found']:,}: the response was lost"
    for name, value in found["resources"].items():
        yield f"{name:34}{value}"
    yield ""
    title = f"faults, seed {found['seed']}"
    yield f"{title:26}times  requests failed    it lasted  failed for  served again after"
    for kind, each in found["faults"].items():
        yield (
            f"  {kind:24}{each['times']:5}  {each['failed']:15,}  {each['seconds']:9.1f} s"
            f"  {each['failed_for']:8.1f} s  {each['recovered_after']:16.2f} s"
        )
    yield ""
    for sentence, count in found["promises"].items():
        yield f"{'BROKEN' if count else 'kept'}  {sentence}{f': not {count} times' if count else ''}"
    for each in found["violations"]:
        yield f"  {each['promise']}: {each['sentence']} {each['request_id']}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
