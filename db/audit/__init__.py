"""The audit: what a DBA asks of the walls, as views in schema `audit`.

Each `*.sql` file here is one check, a query that psql runs by itself. `schema/` has what they build on and what
people read. `alembic upgrade head` installs all of it anew, so the views follow the installed version.
"""

import hashlib
from pathlib import Path

_HERE = Path(__file__).parent

CHECKS = {file.stem: file.read_text() for file in sorted(_HERE.glob("*.sql"))}
"""Each check's name and its query."""

_FINDINGS = """
create or replace view audit.findings as
select f.name, f.level, f.object, f.detail, f.remediation, f.key
from (
{checks}
) as f
where not exists (select from audit.accepted as a where a.key = f.key)
order by array_position(array['error', 'warning', 'info'], f.level), f.name, f.object;

comment on view audit.findings is
    'What is wrong with the walls, worst first. No rows: nothing is. "remediation" is the SQL that mends it; "key" is
what audit.accepted lists it by.';
"""


def installation() -> str:
    """Return the SQL script that installs this version of the audit over any other, to be run as app_owner."""
    checks = "\nunion all\n".join(query.strip().removesuffix(";") for query in CHECKS.values())
    script = "\n".join(
        [
            *(_part(name) for name in ("functions", "roles", "tables", "clauses", "grants", "policies", "accepted")),
            _FINDINGS.format(checks=checks),
            *(_part(name) for name in ("explain_access", "readers")),
        ]
    )
    return f"{script}\ncomment on schema audit is '{_DESCRIPTION}, version {_digest(script)}.';\n"


_DESCRIPTION = "Who may do what to which rows, and what is wrong with the walls"


def _part(name: str) -> str:
    return (_HERE / "schema" / f"{name}.sql").read_text()


def _digest(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()[:16]
