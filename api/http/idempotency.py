"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a creation that is sent twice happens once."""

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated

import asyncpg
from fastapi import Header
from pydantic import BaseModel, WithJsonSchema
from starlette.responses import Response

from api.http import examples
from api.http.access import Role, require
from api.http.codes import field_error
from api.http.problems import INVALID, InvalidInputError
from api.http.responses import json_response
from db.refusals import constraint_of, is_refused_by_policy
from db.session import Session, Transaction

# The workspace was deleted while this waited; on a Citus cluster, whoever is no member names no shard.
NO_WORKSPACE = (asyncpg.ForeignKeyViolationError, asyncpg.NullValueNotAllowedError)
REPLAYED = "Idempotency-Replayed"
KEY_CONSTRAINT = "idempotency_keys_pkey"  # what a key violates that is there already
EXPIRED = "created_at < now() - interval '24 hours'"

# RFC 8941, 3.3.3: a string in quotes, as the draft wants it. A key that needs no escapes may come without them.
# As JavaScript reads it too: it is in the document.
_KEY = r'^("([\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255}"|[\x21\x23-\x5b\x5d-\x7e]{1,255})$'


IdempotencyKey = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": _KEY, "examples": [f'"{examples.REQUEST_ID}"']}),
    Header(
        alias="Idempotency-Key",
        description="Makes it safe to send this again: the same key and body get the first response, for 24 hours. "
        "1 to 255 characters of ASCII, in quotes or, without spaces and quotes, as they are.",
    ),
]


async def create(
    db: Session,
    path: str,
    body: BaseModel,
    header: str | None,
    insert: str,
    values: Sequence[object],
    *,
    role: Role = "editor",
) -> Response:
    """Run `insert` with `values`, once per Idempotency-Key if there is a `header`; return 201.

    `insert` returns the id, the JSON and the ETag of the new row. Location is `path` and the id.
    Raises InvalidInputError for a key that is malformed or that came with another request before; what `require` raises
    for whoever has not the `role` that adding rows to a workspace needs.
    """
    try:
        if header is not None:
            return await _create_once(db, path, body, parse(header), insert, values)
        [(row_id, json, etag)] = await db.fetch(insert, *values)
        return _response(201, f"{path}/{row_id}", etag, json)
    except asyncpg.PostgresError as error:
        if is_refused_by_policy(error) or isinstance(error, NO_WORKSPACE):
            await require(db, role)
        raise


async def _create_once(
    db: Session, path: str, body: BaseModel, key: str, insert: str, values: Sequence[object]
) -> Response:
    fingerprint = hashlib.sha256(f"POST {path}\n{body.model_dump_json()}".encode()).digest()

    async def create_and_keep(transaction: Transaction) -> Response:
        [(row_id, json, etag)] = await transaction.fetch(insert, *values)
        created = (201, f"{path}/{row_id}", etag, json)
        await transaction.finish(KEEP, key, fingerprint, *created)
        return _response(*created)

    while True:  # twice at most: a key that is taken is replayed, or it has expired and is free
        try:
            return await db.run(create_and_keep)
        except asyncpg.UniqueViolationError as error:
            if constraint_of(error) != KEY_CONSTRAINT:
                raise
        if response := await _replay(db, key, fingerprint):
            return response


# After the row, in its transaction: the key is taken if and only if the row is there. A second one with the key waits.
# Not in one statement: a cluster could not send that to one shard.
KEEP = """
insert into app.idempotency_keys (key, fingerprint, status, location, etag, body) values ($1, $2, $3, $4, $5, $6)
"""


async def _replay(db: Session, key: str, fingerprint: bytes) -> Response | None:
    """Return the response that was kept under `key`. None if it has expired: then the key is free again.

    Raises InvalidInputError when the key came with another request.
    """
    await db.fetch(
        f"delete from app.idempotency_keys where user_id = $1 and key = $2 and {EXPIRED}",  # noqa: S608 - a constant
        db.user_id,
        key,
    )
    rows = await db.fetch(
        "select fingerprint, status, location, etag, body from app.idempotency_keys where user_id = $1 and key = $2",
        db.user_id,
        key,
    )
    if not rows:
        return None
    [(before, *kept)] = rows
    if before != fingerprint:
        raise InvalidInputError(
            "This Idempotency-Key was used for another request. Make a new one for each new request.",
            field_error("idempotency_key_reused", parameter="Idempotency-Key"),
        )
    response = _response(*kept)
    response.headers[REPLAYED] = "true"
    return response


def _response(status: int, location: str, etag: str, body: str) -> Response:
    return json_response(body, status, {"Location": location, "ETag": etag})


def parse(header: str) -> str:
    """Return the key: the same with quotes around it and without. Raises InvalidInputError."""
    if not re.fullmatch(_KEY, header):
        raise InvalidInputError(INVALID, field_error("invalid_idempotency_key", parameter="Idempotency-Key"))
    return re.sub(r"\\(.)", r"\1", header[1:-1]) if header.startswith('"') else header
