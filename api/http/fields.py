"""Types of fields that JSON, Python and PostgreSQL agree on: exact, and within what a column can hold."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from api.http.codes import ERRORS

# A text has a character that is neither NUL, which PostgreSQL cannot hold, nor white space, which is not the same to
# Rust, JavaScript and Python: so this lists what it is, up to U+3000. Listing what it is not would need U+2028 and
# U+2029, which generators write into JavaScript as they are, where they end the line.
_VISIBLE = (
    r"[\x01-\x08\x0e-\x1f!-\x84\x86-\x9f\xa1-\u167f\u1681-\u1fff\u200b-\u2027\u202a-\u202e\u2030-\u205e\u2060-\u2fff]"
)
_NOT_BLANK = rf"^[^\x00]*({_VISIBLE}|[^\x00-\u3000])[^\x00]*$"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_RFC_3339 = rf"^{_DATE}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]{{1,6}})?(Z|[+-][0-9]{{2}}:[0-9]{{2}})$"


def absent() -> Any:  # noqa: ANN401 - whatever the field's type is
    """Return the default of a field that need not be sent. A null that is sent still fails the field's type."""
    return None


def _integral(value: object) -> object:
    """Return 10 for 10.0: JSON Schema, like JavaScript, makes no difference."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def refusal(code: str, **parameters: object) -> PydanticCustomError:
    """Return what a validator raises: an error with one of the codes of `api.http.codes`, and its parameters."""
    return PydanticCustomError(code, ERRORS[code], parameters)


def _readable(value: str) -> str:
    """Return the text. Raises for one that nobody could read, and for one that PostgreSQL cannot hold."""
    if "\0" in value:
        raise refusal("nul_character")
    if not re.search(rf"{_VISIBLE}|[^\x00-\u3000]", value):
        raise refusal("blank")
    return value


def _decoded(value: str) -> str:
    """Return the text. Raises where a URL was not UTF-8, which is read as U+FFFD."""
    if "\ufffd" in value:
        raise refusal("not_utf8")
    return value


def _written_as(pattern: str, code: str) -> BeforeValidator:
    """Return a validator of the text: pydantic takes more for a time than RFC 3339 does, such as seconds since 1970."""

    def validate(value: object) -> object:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise refusal(code)
        return value

    return BeforeValidator(validate)


def _in_utc(value: datetime) -> datetime:
    """Return the instant in UTC. Raises if that is before the year 1 or after 9999."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise refusal("out_of_range") from None


Text = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        description="1 to 500 characters, not only white space.",
        json_schema_extra={"pattern": _NOT_BLANK},
    ),
    AfterValidator(_readable),
]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="1 to 100 characters, not only white space.",
        json_schema_extra={"pattern": _NOT_BLANK},
    ),
    AfterValidator(_readable),
]
SearchText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="1 to 100 characters, not only white space.",
        json_schema_extra={"pattern": rf"^[^\x00\ufffd]*({_VISIBLE}|[^\x00-\u3000\ufffd])[^\x00\ufffd]*$"},
    ),
    AfterValidator(_decoded),
    AfterValidator(_readable),
]
Integer = Annotated[int, Field(ge=-(2**31), le=2**31 - 1), BeforeValidator(_integral)]
Timestamp = Annotated[
    AwareDatetime,
    Field(strict=False, json_schema_extra={"pattern": _RFC_3339}),
    _written_as(_RFC_3339, "not_a_timestamp"),
    AfterValidator(_in_utc),
]
Date = Annotated[
    date, Field(strict=False, json_schema_extra={"pattern": f"^{_DATE}$"}), _written_as(_DATE, "not_a_date")
]
Uuid = Annotated[UUID, Field(strict=False)]
