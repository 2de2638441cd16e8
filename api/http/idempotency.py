"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a creation that is sent twice happens once."""

import hashlib
import re
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Header
from pydantic import WithJsonSchema

from api.http import examples
from api.http.problems import INVALID, InvalidInputError
from db.session import Session

TAKEN = "idempotency_keys_pkey"  # the constraint that a key breaks which is there already
EXPIRED = "created_at < now() - interval '24 hours'"

# RFC 8941, 3.3.3: a string in quotes, as the draft wants it. A key that needs no escapes may come without them.
# As JavaScript reads it too: it is in the document.
_KEY = r'^("([\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255}"|[\x21\x23-\x5b\x5d-\x7e]{1,255})$'


IdempotencyKey = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": _KEY, "examples": [f'"{examples.REQUEST_ID}"']}),
    Header(
        alias="Idempotency-Key",
        description="Makes it safe to send this again: the same key and body get the first answer, for 24 hours. "
        "1 to 255 characters of ASCII, in quotes or, without spaces and quotes, as they are.",
    ),
]


def parse(header: str) -> str:
    """Return the key: the same with quotes around it and without. Raises InvalidInputError."""
    if not re.fullmatch(_KEY, header):
        detail = "must be a string in quotes, or without spaces and quotes, of 1 to 255 characters of ASCII"
        raise InvalidInputError(INVALID, {"parameter": "Idempotency-Key", "detail": detail})
    return re.sub(r"\\(.)", r"\1", header[1:-1]) if header.startswith('"') else header


def fingerprint(body: str) -> bytes:
    """Return what tells one request from another: the SHA-256 of its validated body."""
    return hashlib.sha256(body.encode()).digest()


async def recall(db: Session, key: str, fingerprint: bytes) -> Iterable[Any] | None:
    """Return what was created under `key`: id, version and JSON. None if the key has expired: then it is free again.

    Raises InvalidInputError when it came with another body.
    """
    await db.fetch(f"delete from app.idempotency_keys where key = $1 and {EXPIRED}", key)  # noqa: S608 - a constant
    rows = await db.fetch("select fingerprint, task_id, version, answer from app.idempotency_keys where key = $1", key)
    if not rows:
        return None
    [(before, *created)] = rows
    if before != fingerprint:
        raise InvalidInputError(
            "This Idempotency-Key was used for another request. Make a new one for each new request.",
            {"parameter": "Idempotency-Key", "detail": "was sent with another body before"},
        )
    return created
