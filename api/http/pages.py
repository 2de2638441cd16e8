"""Opaque page cursors: where a page ended, bound to its reader and to the list that it is a page of."""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from uuid import UUID

from api.http.problems import InvalidInputError

_CONTENT = struct.Struct(">Bi16s")
_CHECKSUM_BYTES = 8


@dataclass(frozen=True)
class Cursors:
    """The cursors of one user.

    A cursor carries its list's sort and filter, a position, and a checksum over these and the user: one that was cut
    off, changed or copied from somebody else is refused instead of starting a page anywhere. It is no secret and
    needs no key: whoever forges one gets another page of their own rows.
    """

    user_id: str

    def encode(self, listing: int, order: int, task_id: UUID) -> str:
        """Return the cursor of the page after this position. `listing` is the number of the list."""
        content = _CONTENT.pack(listing, order, task_id.bytes)
        checksum = hashlib.blake2b(content + self.user_id.encode(), digest_size=_CHECKSUM_BYTES).digest()
        return base64.urlsafe_b64encode(content + checksum).decode().rstrip("=")

    def decode(self, cursor: str, listings: int) -> tuple[int, int, UUID]:
        """Return what was encoded in `cursor`. Raises InvalidInputError unless it is of a list of this user's.

        `listings` is how many lists there are: a checksum that needs no key keeps nobody from naming another.
        """
        try:
            raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"==")
            listing, order, id_bytes = _CONTENT.unpack_from(raw)
        except (UnicodeEncodeError, binascii.Error, struct.error):
            raise _invalid() from None
        content = listing, order, UUID(bytes=id_bytes)
        if listing >= listings or self.encode(*content) != cursor:
            raise _invalid()
        return content


def _invalid() -> InvalidInputError:
    return InvalidInputError(
        "The cursor is not one that this list gave you. Start again without it.",
        {"parameter": "cursor", "detail": "must be the next_cursor of an earlier page"},
    )
