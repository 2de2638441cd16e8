"""The names and fields that `partywall new` accepts, and what a field is in each file that it writes."""

import re
from collections.abc import Sequence
from keyword import iskeyword
from typing import NamedTuple

import click
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST = 40  # of a word. The longest name of a policy has 23 characters more.
LONGEST_IN_SQL = 63  # PostgreSQL cuts off the rest
EVERY_ROW = ("id", "user_id", "workspace_id", "created_at", "updated_at")
WITHOUT_S = ((r"(ss|sh|ch|x|z)es$", r"\1"), (r"ies$", "y"), (r"s$", ""))


class Type(NamedTuple):
    """A type of fields: in SQL, in db/schema.py, in a model; two values as the API returns them."""

    sql: str
    sqlalchemy: str
    python: str
    values: tuple[object, object]


TYPES = {
    "text": Type("text", "Text", "Text", ("Buy milk", "Water the plants")),
    "integer": Type("integer", "Integer", "Integer", (10, 20)),
    "boolean": Type("boolean", "Boolean", "bool", (False, True)),
    "timestamptz": Type(
        "timestamptz",
        "DateTime(timezone=True)",
        "Timestamp",
        ("2026-12-24T18:00:00+00:00", "2026-12-31T23:59:59.999999+00:00"),
    ),
    "date": Type("date", "Date", "Date", ("2026-12-24", "2026-12-31")),
    "uuid": Type(
        "uuid", "Uuid", "Uuid", ("0198c0de-0000-7000-8000-0000000000c1", "0198c0de-0000-7000-8000-0000000000c2")
    ),
}


class Field(NamedTuple):
    """A field of the resource, a column of its table."""

    name: str
    type: str
    optional: bool

    @property
    def column(self) -> str:
        """The name in SQL."""
        return f'"{self.name}"' if self.name in RESERVED_WORDS else self.name

    @property
    def sql(self) -> str:
        """The column's type in SQL."""
        return TYPES[self.type].sql

    @property
    def sqlalchemy(self) -> str:
        """The column's type in db/schema.py."""
        return TYPES[self.type].sqlalchemy

    @property
    def python(self) -> str:
        """The type in a model."""
        return TYPES[self.type].python + (" | None" if self.optional else "")

    @property
    def comment(self) -> str:
        """What `comment on` says of the column, in words to be made better."""
        return f"The {self.name.replace('_', ' ')}{'; null if there is none' if self.optional else ''}."


def read_field(text: str, *, shared: bool) -> Field:
    """Return a field of a user's or a shared row from NAME:TYPE or NAME:TYPE?. Raises BadParameter."""
    name, _, type_ = text.partition(":")
    optional, type_ = type_.endswith("?"), type_.removesuffix("?")
    if type_ not in TYPES:
        raise click.BadParameter(f"{text}: the type must be one of {', '.join(TYPES)}, with ? if it is optional")
    if name in EVERY_ROW:
        raise click.BadParameter(f"{text}: every row has {name}, and the database sets it")
    if shared and name == "role":
        raise click.BadParameter(f"{text}: a role is what a member of the workspace has; choose another name")
    if hasattr(BaseModel, name) or name.startswith("model_") or name in {"bool", "str"}:
        raise click.BadParameter(f"{text}: {name} means something to a model; choose another name")
    return Field(check_name(text, name), type_, optional)


def check_name(what: str, name: str) -> str:
    """Return `name` if tables, modules and paths can be called so. Raises BadParameter."""
    if not NAME.fullmatch(name) or len(name) > LONGEST or iskeyword(name):
        raise click.BadParameter(
            f"{what}: {name!r} must be a word of a to z, 0 to 9 and _, at most {LONGEST} characters, not Python's own"
        )
    return name


def check_constraints(plural: str, fields: Sequence[Field]) -> None:
    """Raise BadParameter if PostgreSQL would cut off the name of a constraint: two could be the same then."""
    for field in fields:
        if field.type == "text" and len(f"{plural}_{field.name}_not_blank") > LONGEST_IN_SQL:
            room = LONGEST_IN_SQL - len("__not_blank")
            raise click.BadParameter(
                f"{plural} and {field.name}: at most {room} characters together, for the names of constraints"
            )


def in_singular(plural: str) -> str:
    """Return what one of `plural` is called. Raises BadParameter if that is no plural."""
    for ending, instead in WITHOUT_S:
        if re.search(ending, plural) and plural != "s":
            return re.sub(ending, instead, plural)
    raise click.BadParameter(f"RESOURCE: {plural!r} is not a plural in -s; say what one is called: --singular")
