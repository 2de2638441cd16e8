"""db/schema.sql: the schema in PostgreSQL's own words, so that a reviewer sees what a migration did as a diff.

A revision says what it does to a database; this says what the database then is: every owner, policy, grant,
trigger and default. `make schema` writes the file, and the suite compares it with a freshly migrated database.
db/schema.py is written by hand: `make schema` says whether it agrees.
"""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from db.embedded import Cluster, EmbeddedPostgresError, binary
from migrations import alembic

HEADER = """\
-- What db/roles.sql and the migrations make, in the words of pg_dump. Nothing runs this file: it is here to be read,
-- and to show in a diff what a migration changed. After one: make schema
-- Not in it: schema audit, whose source is db/audit/; the roles themselves, whose source is db/roles.sql.
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


def main(file: Path) -> int:
    """Write the schema of a throwaway cluster at the newest migration to `file`, then run `alembic check` on it.

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
            return alembic(url, "check")
        finally:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
