"""What is wrong with a setting, in sentences that follow its name: which value it has, and what it must be."""

import re
from collections.abc import Mapping
from typing import get_args

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

SECRET_BYTES = 32  # RFC 7518, 3.2: a key of the size of the hash output or larger
MAKE_ONE = "make one with: openssl rand -base64 32"

_FEWEST_CHARACTERS = 8  # different ones: a random secret in hexadecimal digits has about 14
_PLACEHOLDER = re.compile(r"change.?me|your.?secret|placeholder|openssl rand", re.IGNORECASE)


def secret_problem(secret: str) -> str | None:
    """Return what is wrong with a secret, without a word of it; else None."""
    if len(secret.encode()) < SECRET_BYTES:
        return f"must have at least {SECRET_BYTES} bytes; {MAKE_ONE}"
    if not secret.strip():
        return f"is blank; {MAKE_ONE}"
    if secret != secret.strip():
        return "begins or ends with white space: remove it (or who signs tokens has another secret)"
    if secret[0] == secret[-1] and secret[0] in "'\"":
        return "is in quotes: remove them (or who signs tokens has another secret)"
    if _PLACEHOLDER.search(secret):
        return f"is a placeholder; {MAKE_ONE}"
    # A text that repeats one part of itself is in the middle of itself twice.
    if secret in (secret * 2)[1:-1] or len(set(secret)) < _FEWEST_CHARACTERS:
        return f"can be guessed: it repeats the same characters; {MAKE_ONE}"
    return None


def problems(
    errors: list[ErrorDetails], contradictions: list[str], fields: Mapping[str, FieldInfo]
) -> list[InitErrorDetails]:
    """Return `errors` and `contradictions`, all of them, as errors whose messages are sentences."""
    told = [
        (error["loc"], _sentence(error, fields.get(str(error["loc"][0])) if error["loc"] else None)) for error in errors
    ]
    told += [((), contradiction) for contradiction in contradictions]
    return [
        InitErrorDetails(type=PydanticCustomError("setting", "{text}", {"text": text}), loc=loc, input=None)
        for loc, text in told
    ]


def _sentence(error: ErrorDetails, field: FieldInfo | None) -> str:
    kind = error["type"]
    if kind == "missing":
        return "must be set (see docs/settings.md)"
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    wanted = _wanted(kind, field) if field else None
    if wanted is None:
        return f"cannot be used: {error['msg']}"
    return f"must be {wanted}" + (f", not {error['input']!r}" if error["input"] != "" else "; it is set, but empty")


def _wanted(kind: str, field: FieldInfo) -> str | None:
    if kind.startswith("bool"):
        return "true or false"
    if kind == "literal_error":
        return " or ".join(repr(choice) for choice in get_args(field.annotation))
    numbers = {int: "a whole number", float: "a number"}
    for type_, words in numbers.items():
        if type_ in {field.annotation, *get_args(field.annotation)}:
            return words + _range(field)
    return None


def _range(field: FieldInfo) -> str:
    words = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    bounds = {name: getattr(part, name) for part in field.metadata for name in words if hasattr(part, name)}
    if bounds.keys() == {"ge", "le"}:
        return f" from {bounds['ge']} to {bounds['le']}"
    return "".join(f" {words[name]} {bound}" for name, bound in bounds.items())
