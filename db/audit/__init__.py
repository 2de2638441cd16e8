"""The audit: who may do what to which rows, and whether the policies hold, as views in schema `audit`.

Each `*.sql` file here is one check, a query that psql runs by itself. `schema/` has the views and functions that the
checks use and that people read. `alembic upgrade head` installs all of it again, so it is always that of the installed
version.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import asyncpg

_HERE = Path(__file__).parent

CHECKS = {file.stem: file.read_text() for file in sorted(_HERE.glob("*.sql"))}
"""Each check's name and its query."""

_FINDINGS = """
create or replace view audit.findings as
with {shared}
select f.name, f.level, f.object, f.detail, f.remediation, f.key
from (
{checks}
) as f
where not exists (select from audit.accepted as a where a.key = f.key)
order by array_position(array['error', 'warning', 'info'], f.level), f.name, f.object;

comment on view audit.findings is
    'What is wrong with the isolation of tenants, errors first. No rows: nothing was found.';
comment on column audit.findings.name is 'The check, which is explained in db/audit/NAME.sql.';
comment on column audit.findings.level is
    'error: one tenant may reach another''s rows, and the API stops serving. warning: it would take a second mistake.';
comment on column audit.findings.remediation is 'The SQL that fixes it.';
comment on column audit.findings.key is 'What audit.accepted lists it by.';
"""
_SHARED = ("api_roles", "tables", "clauses", "relation_grants", "grants", "view_reads", "definer_functions")
_DESCRIPTION = "Who may do what to which rows, and whether the policies hold"


class Finding(NamedTuple):
    """A row of audit.findings."""

    name: str
    level: str
    object: str
    detail: str
    remediation: str
    key: str


class NotInstalledError(Exception):
    """Schema `audit` is missing or of another version. The message says what to do."""


def installation() -> str:
    """Return the SQL script that installs this version of the audit over any other, to be run as app_owner."""
    script = _script()
    return f"{script}\ncomment on schema audit is '{_description(script)}';\n"


async def find(connection: asyncpg.Connection) -> list[Finding]:
    """Return the rows of audit.findings, errors first. Raises NotInstalledError, or what asyncpg raises."""
    installed = await connection.fetchval(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'audit'"
    )
    if installed != _description(_script()):
        raise NotInstalledError("schema audit is missing or of another version: run alembic upgrade head")
    return [Finding(*row) for row in await connection.fetch("select * from audit.findings")]


def _script() -> str:
    checks = "\nunion all\n".join(query.strip().removesuffix(";") for query in CHECKS.values())
    # What many checks read is computed once.
    checks = re.sub(rf"\baudit\.({'|'.join(_SHARED)})\b", r"\1", checks)
    shared = ",\n".join(f"{view} as materialized (table audit.{view})" for view in _SHARED)
    return "\n".join(
        [
            *map(
                _part,
                ("removal", "functions", "roles", "tables", "clauses", "definers", "grants", "policies", "accepted"),
            ),
            _FINDINGS.format(shared=shared, checks=checks),
            *map(_part, ("explain_access", "readers")),
        ]
    )


def _part(name: str) -> str:
    return (_HERE / "schema" / f"{name}.sql").read_text()


def _description(script: str) -> str:
    return f"{_DESCRIPTION}; version {hashlib.sha256(script.encode()).hexdigest()[:16]}."
