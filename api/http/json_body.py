"""The body of a request as JSON (RFC 8259): in UTF-8, and no name twice in one object."""

import json
from collections.abc import Sequence

from fastapi.exceptions import RequestValidationError


class _RepeatedNameError(Exception):
    """An object has a name twice: which value is meant depends on who reads it (RFC 8259, 4)."""


def _object(members: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        raise _RepeatedNameError(next(name for name in names if names.count(name) > 1))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def read_json(content: bytes) -> object:
    """Return what `content` says. Raises RequestValidationError with one of our codes."""
    try:
        return _DECODER.decode(content.decode("utf-8-sig"))  # a BOM may be ignored (RFC 8259, 8.1)
    except UnicodeDecodeError:
        raise _refusal("not_utf8") from None
    except json.JSONDecodeError as error:
        raise _refusal("invalid_json", reason=error.msg, position=error.pos) from None
    except _RepeatedNameError as error:
        raise _refusal("repeated_name", name=str(error)) from None
    except RecursionError:
        raise _refusal("too_deep") from None
    except ValueError:  # Python reads 4,300 digits at most
        raise _refusal("too_many_digits") from None


def _refusal(code: str, **parameters: object) -> RequestValidationError:
    return RequestValidationError([{"type": code, "loc": ("body",), "ctx": parameters}])
