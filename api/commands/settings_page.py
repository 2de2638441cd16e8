"""docs/settings.md, from the docstrings of api/settings.py: `make settings`."""

import sys

from api.settings import Settings

PAGE = """\
<!-- `make settings` writes this page from api/settings.py. -->

# Settings

The API reads its settings from environment variables, then from `.env` in the working directory. If one is missing or
unsafe, it does not start: one sentence for each on stderr, exit code 3.

| setting | default | meaning |
|---|---|---|
{rows}

See also: [how many connections](operations.md#how-many-connections),
[rotating the secret](operations.md#rotate-every-secret), [public keys](pipeline.md#public-keys),
[PgBouncer](pipeline.md#pgbouncer).

Two more variables are read by other programs: `MIGRATION_DATABASE_URL` by [Alembic](pipeline.md#each-release-migrate)
and [`partywall clean`](pipeline.md#once-a-day-clean), `PROMETHEUS_MULTIPROC_DIR` by
[the Prometheus client](operations.md#metrics).
"""


def page() -> str:
    """Return docs/settings.md: a row for each setting, whose docstring ends with its default."""
    rows = []
    for name, field in Settings.model_fields.items():
        meaning, _, default = (field.description or "").removesuffix(".").rpartition(". ")
        rows.append(f"| `{name.upper()}` | {default.removeprefix('Default: ')} | {meaning} |")
    return PAGE.format(rows="\n".join(rows))


if __name__ == "__main__":
    sys.stdout.write(page())
