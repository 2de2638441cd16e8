"""docs/metrics.md, from the metrics themselves: `make settings`."""

import sys

from api.observability.metrics import ALL, MADE_LATER, Metric

PAGE = """\
<!-- `make settings` writes this page from api/observability/metrics.py and db/metrics.py. -->

# Metrics

What `/metrics` has for Prometheus; [how it is served](operations.md#metrics). Times are in seconds. No label has a
value that a client can invent: unknown methods are `other`, and what no route serves has the route `none`.

| metric | type | labels | meaning |
|---|---|---|---|
{rows}

A single process also has those of the client library: `process_*` (memory, CPU, open files) and `python_*`.
"""


def page() -> str:
    """Return docs/metrics.md: a row for each metric."""
    metrics: list[Metric] = [*ALL, *(make() for make in MADE_LATER)]
    return PAGE.format(rows="\n".join(_row(metric) for metric in metrics))


def _row(metric: Metric) -> str:
    [described] = metric.describe()
    name = f"{described.name}_total" if described.type == "counter" else described.name
    labels = " ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - nothing else tells
    return f"| `{name}` | {described.type} | {labels} | {described.documentation} |"


if __name__ == "__main__":
    sys.stdout.write(page())
