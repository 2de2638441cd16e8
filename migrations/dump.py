"""db/schema.sql: the schema in PostgreSQL's own words, so that a reviewer sees what a migration did as a diff.

A revision says what it does to a database; this says what the database then is: every owner, policy, grant,
trigger and default. `make schema` writes the file, and the suite compares it with a freshly migrated database.
db/schema.py is written by hand: `make schema` says whether it agrees.
"""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from db.connect import OWN_NAMES_ONLY, connect
from db.embedded import Cluster, EmbeddedPostgresError, binary
from migrations import alembic

HEADER = """\
-- What db/roles.sql and the migrations make, in the words of pg_dump. Nothing runs this file: it is here to be read,
-- and to show in a diff what a migration changed. After one: make schema
-- Not in it: schema audit, whose source is db/audit/; the roles themselves, whose source is db/roles.sql.
"""

MANIFEST = "audit/schema/manifest.sql"
_MANIFEST = """\
-- What this release makes, as far as app_api can reach it: the rows of audit.surface in a newly migrated database. Here
-- to be read, and to show in a diff what a migration opens. What a database has beside it, or has otherwise, is a
-- finding: unexpected or changed. `make schema` writes it.
create or replace view audit.manifest (key, sentence, fingerprint) as values
{rows};

comment on view audit.manifest is
    'What the release made of what app_api can reach: the rows that audit.surface had when it was made.';

create or replace function audit.leakproof() returns oid[]
language sql immutable parallel safe set search_path = ''
as $$ select '{leakproof}'::oid[] $$;

comment on function audit.leakproof() is 'The functions that PostgreSQL itself marks LEAKPROOF.';
"""
# No release changes what is built in: that it is unknown here only means that audit.leakproof() is about to be written.
_ROWS = """
select format('    (%L, %L, %L)', key, sentence, fingerprint)
from audit.surface where kind <> 'built-in' order by key collate "C"
"""
_LEAKPROOF = """
select array_agg(oid order by oid)::text from pg_proc
where oid < 16384 and (proleakproof or proname = 'gen_random_uuid')  -- which is no longer, since 18
"""

_ENTRY = re.compile(r"^--\n-- Name: (.+); Type: .+\n--\n", re.MULTILINE)
_NOISE = re.compile(
    r"^(SET default_table\w+ = .*;|--\n-- PostgreSQL database dump complete\n--|\\unrestrict .*)\n", re.MULTILINE
)
_DOUBLE_SPACE = re.compile(r"^(ALTER DEFAULT PRIVILEGES .+)  ", re.MULTILINE)  # pg_dump 15


def schema(url: str) -> str:
    """Return the schema of the database at `url`: the same text from every server that Partywall supports.

    Raises EmbeddedPostgresError with what pg_dump said, say that the server is newer than the programs in PG_BIN.
    """
    # By exclusion: of a database whose schemas are named, pg_dump leaves the default privileges out.
    command = [binary("pg_dump"), "--schema-only", "--exclude-schema=audit", url]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode:
        raise EmbeddedPostgresError(result.stderr.strip())
    _, *entries = _ENTRY.split(_NOISE.sub("", result.stdout))
    # Before PostgreSQL 18 uuidv7() is a function of ours, with an owner, a comment and a grant.
    kept = (text for name, text in zip(entries[::2], entries[1::2], strict=True) if not name.endswith("uuidv7()"))
    text = "\n".join([HEADER, *kept]).replace("app.uuidv7()", "uuidv7()")
    return re.sub(r"\n{3,}", "\n\n", _DOUBLE_SPACE.sub(r"\1 ", text)).strip() + "\n"


async def manifest(url: str) -> str:
    """Return the SQL of audit.manifest: what there is in the database at `url`, which must be newly migrated."""
    connection = await connect(url, application_name="make schema")
    try:
        async with connection.transaction():
            await connection.execute(f"{OWN_NAMES_ONLY}; set local role app_owner")
            rows = await connection.fetch(_ROWS)
            leakproof = await connection.fetchval(_LEAKPROOF)
    finally:
        await connection.close()
    return _MANIFEST.format(rows=",\n".join(row for (row,) in rows), leakproof=leakproof)


def main(file: Path) -> int:
    """Write the schema of a throwaway cluster at the newest migration to `file`, and the manifest of the audit.

    Then run `alembic check` on it.

    Returns the exit code: that of Alembic, which has said what is wrong.
    """
    with TemporaryDirectory(prefix="partywall-") as directory:
        cluster = Cluster(Path(directory))
        cluster.create()
        cluster.start("fsync=off")
        try:
            cluster.prepare()
            url = cluster.url("app_migrator")
            if failed := alembic(url, "upgrade", "head"):
                return failed
            file.write_text(schema(url))
            (file.parent / MANIFEST).write_text(asyncio.run(manifest(url)))
            return alembic(url, "check")
        finally:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
