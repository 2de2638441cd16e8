"""If-Match and If-None-Match (RFC 9110, 13.1): lists of entity tags, or `*`."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
ANY_OR_TAGS = rf"^(\*|[ \t,]*({_TAG.pattern}[ \t,]*)+)$"  # as JavaScript reads it too: it is in the document
NAMES = {b"if-match": "If-Match", b"if-none-match": "If-None-Match"}


class Tag(NamedTuple):
    """An entity tag: what is in the quotes, with the quotes."""

    weak: bool
    opaque: str


def read_tags(value: str) -> list[Tag] | None:
    """Return the tags of a list. None for what is no list of tags, also for `*`."""
    if not re.fullmatch(ANY_OR_TAGS, value) or value == "*":
        return None
    return [Tag(bool(weak), opaque) for weak, opaque in _TAG.findall(value)]


def has_tag(value: str, etag: str) -> bool:
    """Return whether If-None-Match names `etag`: by a weak comparison (RFC 9110, 8.8.3.2), so W/ does not matter."""
    return value == "*" or any(etag == opaque for _, opaque in _TAG.findall(value))


def unmet_without_etag(headers: Sequence[tuple[bytes, bytes]]) -> Iterator[dict[str, Any]]:
    """Yield an error for each condition that cannot hold for what has no ETag, such as a list.

    It exists, so `If-Match: *` holds and `If-None-Match: *` does not; no tag is one of its own.
    """
    for name in {name for name, _ in headers if name in NAMES}:
        value = ", ".join(each.decode("latin-1") for other, each in headers if other == name)
        if value != "*" and read_tags(value) is None:
            yield {"type": "invalid_etag", "loc": ("header", NAMES[name])}
        elif (value == "*") == (name == b"if-none-match"):
            yield {"type": "no_etag", "loc": ("header", NAMES[name])}
