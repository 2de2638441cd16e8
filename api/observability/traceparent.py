"""W3C Trace Context: which trace a request is part of (https://www.w3.org/TR/trace-context/#traceparent-header)."""

import re

# version-traceid-parentid-flags, in lower case. A later version than 00 may have more, behind another dash.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_INVALID_VERSION, _FIRST_VERSION = b"ff", b"00"
_INVALID_IDS = {b"0" * 32, b"0" * 16}


def read_trace_id(traceparent: bytes) -> str | None:
    """Return the trace id of a header `traceparent`: 32 hexadecimal digits in lower case; None if it is not valid."""
    if (found := _TRACEPARENT.fullmatch(traceparent)) is None:
        return None
    version, trace_id, parent_id, more = found.groups()
    if version == _INVALID_VERSION or (version == _FIRST_VERSION and more) or {trace_id, parent_id} & _INVALID_IDS:
        return None
    return str(trace_id, "ascii")
