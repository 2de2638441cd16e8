"""Opaque page cursors: where a page ended, bound to its reader."""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from uuid import UUID

from api.errors import InvalidInputError

_POSITION = struct.Struct(">i16s")
_CHECKSUM_BYTES = 8


@dataclass(frozen=True)
class Cursors:
    """The cursors of one user.

    A cursor carries a checksum over the user and the position: one that was cut off, changed or copied from
    somebody else is refused instead of starting a page anywhere. It is no secret and needs no key: whoever
    forges one gets another page of their own rows.
    """

    user_id: str

    def encode(self, order: int, task_id: UUID) -> str:
        """Return the cursor of the page after this position."""
        position = _POSITION.pack(order, task_id.bytes)
        checksum = hashlib.blake2b(position + self.user_id.encode(), digest_size=_CHECKSUM_BYTES).digest()
        return base64.urlsafe_b64encode(position + checksum).decode().rstrip("=")

    def decode(self, cursor: str) -> tuple[int, UUID]:
        """Return the position of `cursor`. Raises InvalidInputError unless it is one of this user's."""
        try:
            raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"==")
            order, id_bytes = _POSITION.unpack_from(raw)
        except (UnicodeEncodeError, binascii.Error, struct.error):
            raise _INVALID from None
        position = order, UUID(bytes=id_bytes)
        if self.encode(*position) != cursor:
            raise _INVALID
        return position


_INVALID = InvalidInputError(
    "The cursor is not one that this list gave you. Start again without it.",
    {"parameter": "cursor", "detail": "must be the next_cursor of an earlier page"},
)
