"""Which revision a database's schema has, and what the migrations of this version make of it.

Revisions are followed by `down_revision`, as Alembic follows them: a file's name says nothing, and an id may be a hash.
A newer schema has revisions whose files only the newer version has, so each migration records in the database which
revisions the schema includes. Alembic itself is not imported: that would cost each API process 20 MB.
"""

import ast
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import asyncpg

VERSIONS = Path(__file__).parent.parent / "migrations" / "versions"

# Kept as it is for ever: other versions of Partywall read it. What follows the colon is the record.
RECORD = "The revision of the schema, kept by Alembic. The schema includes these revisions: "
# Names with their schema, because /health reads it outside of a transaction that could set search_path.
READ = """
select coalesce(pg_catalog.string_agg(version_num::pg_catalog.text, ' ' order by version_num), ''),
    coalesce(pg_catalog.obj_description('migrations.alembic_version'::pg_catalog.regclass, 'pg_class'), '')
from migrations.alembic_version
"""

NOT_MIGRATED = "The database has no schema yet: run alembic upgrade head."


class BrokenChainError(Exception):
    """The revisions do not lead to one newest revision. The message names those that are in the way."""


class ForeignSchemaError(Exception):
    """These migrations did not make the schema and cannot change it. The message says whose it is."""


class Migrations(NamedTuple):
    """The migrations of this version: the id of the newest revision, and the ids of all."""

    head: str
    revisions: frozenset[str]


class Schema(NamedTuple):
    """What a database says of its schema: its revision (none before the first migration) and those that it includes."""

    revision: frozenset[str]
    included: frozenset[str]

    def __str__(self) -> str:
        """Return the id of the revision."""
        return ", ".join(sorted(self.revision))


def read_migrations(directory: Path = VERSIONS) -> Migrations:
    """Return the migrations in `directory`. Raises BrokenChainError."""
    followed = [_read_revision(file) for file in sorted(directory.glob("*.py")) if file.name != "__init__.py"]
    counted = Counter(revision for revision, _ in followed)
    if twice := [revision for revision, count in counted.items() if count > 1]:
        raise BrokenChainError(f"two migrations have the same revision: {', '.join(twice)}")
    parents = {parent for _, parents in followed for parent in parents}
    if missing := parents - counted.keys():
        raise BrokenChainError(f"a migration follows a revision that has no file: {', '.join(sorted(missing))}")
    heads = [revision for revision in counted if revision not in parents]
    if len(heads) != 1:
        raise BrokenChainError(f"there must be one newest revision, and there are {len(heads)}: {', '.join(heads)}")
    return Migrations(heads[0], frozenset(counted))


def _read_revision(file: Path) -> tuple[str, tuple[str, ...]]:
    """Return a migration's revision and those that it follows: one, none for the first, or two that it merges."""
    values: dict[str, str | tuple[str, ...] | None] = {}
    for statement in ast.parse(file.read_bytes(), file.name).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.expr):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            for name in names & {"revision", "down_revision"}:
                values[name] = ast.literal_eval(statement.value)
    revision, parents = values.get("revision"), values.get("down_revision")
    if not isinstance(revision, str):
        raise BrokenChainError(f"a migration does not say its revision: {file.name}")
    return revision, (parents,) if isinstance(parents, str) else tuple(parents or ())


def record(revisions: Iterable[str]) -> str:
    """Return the SQL that records which revisions the schema includes, to be run after each migration."""
    return f"comment on table migrations.alembic_version is '{RECORD}{' '.join(revisions)}'"


async def read_schema(connection: asyncpg.Connection) -> Schema:
    """Return what the database says of its schema: no revision also where this login may not read it."""
    try:
        ((revision, comment),) = await connection.fetch(READ)
    except asyncpg.SyntaxOrAccessError:
        return Schema(frozenset(), frozenset())
    _, _, included = comment.partition(RECORD)
    return Schema(frozenset(revision.split()), frozenset(included.split()))


def why_not_served(schema: Schema, ours: Migrations) -> list[str]:
    """Return the reason for which the API of this version cannot serve on `schema`; none if it is equal or newer."""
    if not schema.revision:
        return [NOT_MIGRATED]
    if schema.revision == {ours.head} or _is_newer(schema, ours):
        return []
    if schema.revision <= ours.revisions:
        return [f"The schema is at revision {schema}, and this version needs {ours.head}: run alembic upgrade head."]
    unknown = f"The schema is at revision {schema}, which this version does not know, and which is not newer than"
    return [f"{unknown} {ours.head}: is DATABASE_URL that of another program?"]


def require_ours(schema: Schema, ours: Migrations) -> None:
    """Return if the migrations of this version made `schema`, or if there is none. Raises ForeignSchemaError.

    Numbers alone do not tell: another program's first revision may be 0001 too, hence the record.
    """
    if schema.revision <= ours.revisions & schema.included:
        return
    if _is_newer(schema, ours):
        raise ForeignSchemaError(f"the schema (revision {schema}) was made by a newer version than this ({ours.head})")
    raise ForeignSchemaError(
        f"the schema (revision {schema}) was made by another program, or by migrations that were rewritten since"
    )


def _is_newer(schema: Schema, ours: Migrations) -> bool:
    return schema.revision | {ours.head} <= schema.included and not schema.revision <= ours.revisions
