"""One row of a tenant: read, update and delete it, under conditions on its version.

A statement has the tenant as $1 and the rest of the key after it; then a write has the versions of which the row must
have one and those of which it must have none, as `expected_versions` returns them; then come the values.
"""

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from starlette.responses import Response

from api.http.access import Role, require
from api.http.etags import expected_versions, one_or_404, raise_missing_or_stale, row_response
from db.session import Session


class Row(NamedTuple):
    """How a row of a table is read, and what is said if there is none."""

    read: str  # returns its JSON and its ETag
    missing: str
    reader: Role = "viewer"  # in a workspace: who may read it, and who may write it
    writer: Role = "editor"


async def read(
    db: Session, row: Row, key: Sequence[object], if_match: str | None, if_none_match: str | None
) -> Response:
    """Return the row; 304 if the client has it.

    Raises NotFoundError, PreconditionFailedError, and in a workspace what `require` raises.
    """
    found = await db.fetch(row.read, db.tenant, *key)
    if not found:
        await require(db, row.reader)
    body, etag = one_or_404(found, row.missing)
    return row_response(body, etag, if_match, if_none_match)


async def update(
    db: Session,
    row: Row,
    statement: str,
    key: Sequence[object],
    values: Sequence[object],
    if_match: str | None,
    if_none_match: str | None,
) -> Response:
    """Return the row as `statement` returns it: its JSON and its ETag. Raises what `read` raises."""
    versions = expected_versions(if_match, if_none_match)
    written = await db.fetch(statement, db.tenant, *key, *versions, *values)
    if not written:
        await _refuse(db, row, key, if_match, if_none_match)
    [(body, etag)] = written
    return row_response(body, etag)


async def delete(
    db: Session, row: Row, statement: str, key: Sequence[object], if_match: str | None, if_none_match: str | None
) -> Response:
    """Return 204 if `statement` has returned something of the row. Raises what `read` raises."""
    versions = expected_versions(if_match, if_none_match)
    if not await db.fetch(statement, db.tenant, *key, *versions):
        await _refuse(db, row, key, if_match, if_none_match)
    return Response(status_code=204)


async def _refuse(
    db: Session, row: Row, key: Sequence[object], if_match: str | None, if_none_match: str | None
) -> NoReturn:
    """Raise the reason why a write has found no row."""
    await require(db, row.writer)
    raise_missing_or_stale(await db.fetch(row.read, db.tenant, *key), row.missing, if_match, if_none_match)
