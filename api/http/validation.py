"""What pydantic says of a request, in this API's codes and sentences."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from api.http.codes import ERRORS, field_error

_EXPECTED: Mapping[str, str] = {
    "string_type": "string",
    "int_type": "integer",
    "bool_type": "boolean",
    "list_type": "array",
    "dict_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
}
_LIMITS: Mapping[str, tuple[str, str]] = {
    "string_too_short": ("too_short", "min_length"),
    "string_too_long": ("too_long", "max_length"),
    "too_short": ("too_few", "min_length"),
    "too_long": ("too_many", "max_length"),
    "greater_than_equal": ("too_small", "ge"),
    "less_than_equal": ("too_large", "le"),
}
_CODES: Mapping[str, str] = {
    "string_unicode": "not_unicode",
    "uuid_type": "not_a_uuid",
    "uuid_parsing": "not_a_uuid",
    "date_parsing": "not_a_date",
    "date_from_datetime_parsing": "not_a_date",
    "datetime_parsing": "not_a_timestamp",
    "datetime_from_date_parsing": "not_a_timestamp",
}
TRANSLATED = frozenset({*_EXPECTED, *_LIMITS, *_CODES, "extra_forbidden", "literal_error", "missing"})
"""The types of pydantic's own errors that have a code here. Those that validators raise are codes already."""


def translate(error: Mapping[str, Any]) -> dict[str, object]:
    """Return one of pydantic's errors as a member of `errors`: `invalid`, if nobody has thought of its type."""
    kind, context, place = error["type"], error.get("ctx") or {}, _place(error["loc"])
    if kind in _EXPECTED:
        return field_error("wrong_type", **place, expected=_EXPECTED[kind])
    if kind in _LIMITS:
        code, name = _LIMITS[kind]
        return field_error(code, **place, limit=context[name])
    if kind == "extra_forbidden":
        return field_error("unknown_parameter" if "parameter" in place else "unknown_field", **place)
    if kind == "literal_error":
        return field_error("not_allowed", **place, allowed=re.findall("'([^']*)'", context["expected"]))
    if kind in _CODES:
        return field_error(_CODES[kind], **place)
    if kind in ERRORS:
        return field_error(kind, **place, **context)
    return field_error("invalid", **place, reason=error["msg"].removeprefix("Value error, "))


def _place(location: tuple[int | str, ...]) -> dict[str, str]:
    where, *path = location
    if where != "body":
        return {"parameter": str(path[0] if path else where)}
    steps = (quote(str(step).replace("~", "~0").replace("/", "~1")) for step in path)  # RFC 6901, 6
    return {"pointer": "/".join(("#", *steps))}
