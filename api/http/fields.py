"""Types of fields that JSON, Python and PostgreSQL agree on: exact, and within what a column can hold."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

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


def _written_as(pattern: str, example: str) -> BeforeValidator:
    """Return a validator of the text: pydantic takes more for a time than RFC 3339 does, such as seconds since 1970."""

    def validate(value: object) -> object:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"must be written as {example}")
        return value

    return BeforeValidator(validate)


def _in_utc(value: datetime) -> datetime:
    """Return the instant in UTC. Raises ValueError if that is before the year 1 or after 9999."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


Text = Annotated[
    str,
    Field(min_length=1, max_length=500, pattern=_NOT_BLANK, description="1 to 500 characters, not only white space."),
]
# U+FFFD is what is read where a URL is not UTF-8.
SearchText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        pattern=rf"^[^\x00\ufffd]*({_VISIBLE}|[^\x00-\u3000\ufffd])[^\x00\ufffd]*$",
        description="1 to 100 characters, not only white space.",
    ),
]
Integer = Annotated[int, Field(ge=-(2**31), le=2**31 - 1), BeforeValidator(_integral)]
Timestamp = Annotated[
    AwareDatetime,
    Field(strict=False, json_schema_extra={"pattern": _RFC_3339}),
    _written_as(_RFC_3339, "2026-11-21T08:30:00Z"),
    AfterValidator(_in_utc),
]
Date = Annotated[
    date, Field(strict=False, json_schema_extra={"pattern": f"^{_DATE}$"}), _written_as(_DATE, "2026-11-21")
]
Uuid = Annotated[UUID, Field(strict=False)]
