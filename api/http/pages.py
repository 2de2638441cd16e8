"""Pages of a table, by keyset: each is one range of one index, however far down the list it is.

A cursor says where a page ended. It carries the name of its list (path, sort and filters) and a checksum over itself
and its user: one of another list is refused, and so is one that was cut off, changed or copied from another user. It
is no secret and needs no key: whoever forges one gets another page of their own rows.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, NamedTuple, Protocol
from urllib.parse import quote_plus
from uuid import UUID

import orjson
from pydantic import BeforeValidator, Field, WithJsonSchema
from starlette.responses import Response

from api.http.access import Role, require
from api.http.codes import field_error
from api.http.problems import InvalidInputError
from api.http.responses import json_response
from db.session import Session

_CHECKSUM_BYTES = 8


class Key(NamedTuple):
    """A column that a list is sorted by."""

    column: str
    parse: Callable[[Any], object]  # its value from JSON; raises ValueError, TypeError or AttributeError
    lowest: object  # sorts before every value, or is the first one
    highest: object


class Sort(NamedTuple):
    """An order of a list. Its last key tells all rows of a tenant apart."""

    keys: tuple[Key, ...]
    descending: bool = False


class Filter(NamedTuple):
    """A condition on the rows of a list, named like the parameter of the query that it is for."""

    condition: str  # SQL, with {} for the value
    to_value: Callable[[Any], object] = lambda sent: sent


@dataclass(frozen=True, eq=False)
class Listing:
    """What can be listed: a table or a query in brackets, its tenant column, and its orders and filters by name."""

    table: str
    tenant: str
    sorts: Mapping[str, Sort]
    filters: Mapping[str, Filter] = field(default_factory=dict)
    columns: str = "t.*"  # what a row of it has
    role: Role = "viewer"  # that it needs, if the tenant is a workspace


def integer(value: object) -> int:
    """Return a 32-bit integer. Raises ValueError for anything else."""
    if type(value) is not int or not -(2**31) <= value < 2**31:
        raise ValueError(value)
    return value


# By age is by id: a UUID of version 7 sorts by the time of its creation. Neither bound is one.
ID = Key("id", UUID, UUID(int=0), UUID(int=2**128 - 1))


def as_in_json(value: object) -> object:
    """Return the number or the boolean that is written as it is in JSON: 5 and true, not 05, 5.0, yes and True."""
    if isinstance(value, str) and re.fullmatch(r"true|false|0|-?[1-9][0-9]{0,9}", value):
        return orjson.loads(value)
    return value


Limit = Annotated[int, Field(ge=1, le=200, description="How many at most."), BeforeValidator(as_in_json)]
Cursor = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "minLength": 1}),
    Field(description="`next_cursor` of the page before: of the same list."),
]
Flag = Annotated[bool | None, BeforeValidator(as_in_json), WithJsonSchema({"type": "boolean"})]
NextCursor = Annotated[str | None, Field(description="Send it as `cursor` for the next page; null on the last one.")]


class PageQuery(Protocol):
    """What a route's model of its query has, beside a member for each filter of the listing."""

    limit: int
    cursor: str | None

    @property
    def sort(self) -> str:
        """The name of the order."""

    @property
    def model_fields_set(self) -> set[str]:
        """The names of the members that were sent."""


async def page(db: Session, path: str, listing: Listing, query: PageQuery) -> Response:
    """Return a page of the tenant's rows, as {"items": […], "next_cursor": …}, and a Link to the next one.

    `path` is that of the list. Raises InvalidInputError for a cursor that is not of this list and user; in a workspace,
    what `api.http.access.require` raises.
    """
    sort = listing.sorts[query.sort]
    filters = {name: value for name in listing.filters if (value := getattr(query, name)) is not None}
    name = "&".join([f"{path}?sort={query.sort}", *_in_url(filters)])
    position = start(sort) if query.cursor is None else decode_cursor(query.cursor, db.user_id, name, sort)
    rows = await db.fetchval(
        statement(listing, query.sort, (*filters,)),
        db.tenant,
        query.limit + 1,  # one more than asked for tells whether there is a next page
        *position,
        *(listing.filters[each].to_value(sent) for each, sent in filters.items()),
    )
    if not rows:  # nothing, aggregated, is null
        await require(db, listing.role)
        rows = []
    items = ",".join(rows[: query.limit])
    if len(rows) <= query.limit:
        return json_response(f'{{"items":[{items}],"next_cursor":null}}')
    last = orjson.loads(rows[query.limit - 1])
    cursor = encode_cursor(db.user_id, name, [last[key.column] for key in sort.keys])
    return json_response(
        f'{{"items":[{items}],"next_cursor":"{cursor}"}}',
        headers={"Link": f'<{path}?{_next(query, cursor)}>; rel="next"'},
    )


@cache
def statement(listing: Listing, sort_name: str, filters: tuple[str, ...]) -> str:
    """Return the SQL of a page. $1 is the tenant, $2 the limit; then come the position and the filters' values.

    Returns one row, an array of rows as JSON: half the cost of a row per item. As text, because asyncpg would
    introspect json[] on each connection.

    `(select $n)`, here and in the filters, hides the value from the planner, which could otherwise choose a custom plan
    that sorts the whole list, or filters what another index returns.
    """
    keys, descending = listing.sorts[sort_name]
    columns = [f't."{key.column}"' for key in keys]
    position = [f"${number}" for number in range(3, 3 + len(keys))]
    wanted = [
        listing.filters[name].condition.format(f"${number}") for number, name in enumerate(filters, 3 + len(keys))
    ]
    conditions = [
        f"t.{listing.tenant} = $1",
        f"({', '.join(columns)}) {'<' if descending else '>'} ({', '.join(position)})",
        *wanted,
    ]
    return f"""
        select array_agg(to_json(page.*)::text)
        from (
            select {listing.columns} from {listing.table} as t
            where {" and ".join(conditions)}
            order by {", ".join(f"{column} {'desc' if descending else 'asc'}" for column in columns)}
            limit (select $2::bigint)
        ) as page
    """  # noqa: S608 - put together from constants


def start(sort: Sort) -> list[object]:
    """Return the position before the first row."""
    return [key.highest if sort.descending else key.lowest for key in sort.keys]


def _in_url(values: Mapping[str, object]) -> list[str]:
    """Return parameters as they stand in a URL."""
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    return [f"{name}={quote_plus(text)}" for name, text in texts.items()]


def _next(query: PageQuery, cursor: str) -> str:
    """Return the query of the next page: what was sent, and the cursor."""
    sent = {name: value for name, value in vars(query).items() if name in query.model_fields_set and name != "cursor"}
    return "&".join([*_in_url(sent), f"cursor={cursor}"])


def encode_cursor(user_id: str, name: str, position: list[object]) -> str:
    """Return the cursor of the page after `position` in the list of this name."""
    content = orjson.dumps([name, *position])
    return base64.urlsafe_b64encode(_checksum(content, user_id) + content).decode().rstrip("=")


def _checksum(content: bytes, user_id: str) -> bytes:
    return hashlib.blake2b(content + user_id.encode(), digest_size=_CHECKSUM_BYTES).digest()


def decode_cursor(cursor: str, user_id: str, name: str, sort: Sort) -> list[object]:
    """Return the position that was encoded. Raises InvalidInputError unless it is of this list and user."""
    try:
        its_name, *position = orjson.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"==")[_CHECKSUM_BYTES:])
        is_ours = encode_cursor(user_id, its_name, position) == cursor
        parsed = [key.parse(value) for key, value in zip(sort.keys, position, strict=True)] if its_name == name else []
    except (UnicodeEncodeError, binascii.Error, ValueError, TypeError, AttributeError):
        is_ours = False
    if not is_ours:
        raise InvalidInputError(
            "The cursor is not one that this list returned. Start again without it.",
            field_error("invalid_cursor", parameter="cursor"),
        )
    if its_name != name:
        raise InvalidInputError(
            "The cursor is of another list. Start again without it, or go on with its sort and filter.",
            field_error("cursor_of_another_list", parameter="cursor", of=its_name),
        )
    return parsed
