"""The audit: what a DBA asks of the walls, as views in schema `audit`.

Each `*.sql` file here is one check, a query that psql runs by itself. `schema/` has what they build on and what
people read. `alembic upgrade head` installs all of it anew, so the views follow the installed version.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import asyncpg

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
_DESCRIPTION = "Who may do what to which rows, and what is wrong with the walls"


class Finding(NamedTuple):
    """A row of audit.findings."""

    name: str
    level: str
    object: str
    detail: str
    remediation: str
    key: str


class NotInstalledError(Exception):
    """The database does not have the audit of this version. The message says what to do."""


def installation() -> str:
    """Return the SQL script that installs this version of the audit over any other, to be run as app_owner."""
    script = _script()
    return f"{script}\ncomment on schema audit is '{_description(script)}';\n"


async def find(connection: asyncpg.Connection) -> list[Finding]:
    """Return what audit.findings says, worst first. Raises NotInstalledError, or what asyncpg raises."""
    installed = await connection.fetchval(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'audit'"
    )
    if installed != _description(_script()):
        raise NotInstalledError("schema audit is missing or of another version: run alembic upgrade head")
    return [Finding(*row) for row in await connection.fetch("select * from audit.findings")]


def _script() -> str:
    checks = "\nunion all\n".join(query.strip().removesuffix(";") for query in CHECKS.values())
    return "\n".join(
        [
            *map(_part, ("functions", "roles", "tables", "clauses", "grants", "policies", "accepted")),
            _FINDINGS.format(checks=checks),
            *map(_part, ("explain_access", "readers")),
        ]
    )


def _part(name: str) -> str:
    return (_HERE / "schema" / f"{name}.sql").read_text()


def _description(script: str) -> str:
    return f"{_DESCRIPTION}; version {hashlib.sha256(script.encode()).hexdigest()[:16]}."
