"""Pages of tasks, in every order. `api/task_bulk.py` changes many at once."""

import re
from functools import cache
from itertools import product
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import orjson
from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from starlette.responses import Response

from api.auth.caller import CallerSession
from api.http.openapi import answers, new_router
from api.http.pages import Cursors
from api.http.problems import InvalidInputError
from api.http.responses import document
from api.tasks.routes import Task

router = new_router("tasks", 401, 422, 500, 503)

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)  # neither is a uuid of version 7


class Sort(NamedTuple):
    """An order of the list: the columns that a page goes by, and what comes before its first row."""

    columns: str
    direction: Literal["asc", "desc"]
    before: tuple[Any, ...]


# By age is by id: ids are made at creation and sort by time.
SORTS = {
    "order": Sort('t."order", t.id', "asc", (-(2**31), FIRST_ID)),
    "-order": Sort('t."order", t.id', "desc", (2**31 - 1, LAST_ID)),
    "created": Sort("t.id", "asc", (FIRST_ID,)),
    "-created": Sort("t.id", "desc", (LAST_ID,)),
}
LISTS = tuple(product(SORTS, (None, False, True)))  # a cursor has the number: add at the end


class TaskPage(BaseModel):
    """One page of a list."""

    items: list[Task]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


def as_in_json(value: object) -> object:
    """Return the number or the boolean that is written as it is in JSON: 5 and true, not 05, 5.0, yes and True."""
    if isinstance(value, str) and re.fullmatch(r"true|false|0|-?[1-9][0-9]{0,9}", value):
        return orjson.loads(value)
    return value


class PageQuery(BaseModel):
    """Which page of which list."""

    model_config = ConfigDict(strict=True, extra="forbid")

    limit: Annotated[int, BeforeValidator(as_in_json)] = Field(
        default=50, ge=1, le=200, description="How many tasks at most."
    )
    cursor: Annotated[str | None, WithJsonSchema({"type": "string"})] = Field(
        default=None, description="`next_cursor` of the page before: of the same list."
    )
    completed: Annotated[bool | None, BeforeValidator(as_in_json), WithJsonSchema({"type": "boolean"})] = Field(
        default=None, description="Only those that are done, or are not."
    )
    sort: Literal["order", "-order", "created", "-created"] = Field(
        default="order", description="By position or by age; `-` is the other way round. Ties go by age."
    )


@cache
def page_query(sort: Sort, *, filtered: bool) -> str:
    """Return the SQL of a page: one range of one index, whatever is asked for.

    $1 is one more than the page has. The answer is one row, which costs half of what many do: an array of the tasks.

    What is in `(select …)` the planner does not see. Of a value that it sees it makes a plan for this one value, and
    with statistics that are a little old that may be a sort of the whole list, or a filter on the index of another.
    """
    keys = sort.columns.split(", ")
    position = ", ".join(f"${number}" for number in range(2, len(keys) + 2))
    return f"""
        select array_agg(to_json(page))
        from (
            select t.* from app.tasks as t
            where ({sort.columns}) {">" if sort.direction == "asc" else "<"} ({position})
                {f"and t.completed = (select ${len(keys) + 2}::boolean)" if filtered else ""}
            order by {", ".join(f"{key} {sort.direction}" for key in keys)}
            limit (select $1::bigint)
        ) as page
    """  # noqa: S608 - put together from the constants above


@router.get("", response_model=TaskPage, responses=answers(200, "A page of your tasks.", "Link"))
async def list_tasks(page: Annotated[PageQuery, Query()], db: CallerSession) -> Response:
    """List your tasks, a page at a time."""
    sort, cursors = SORTS[page.sort], Cursors(db.user_id)
    tasks = await db.fetchval(
        page_query(sort, filtered=page.completed is not None),
        page.limit + 1,  # one more than asked for tells whether there is a next page
        *(_position(page, cursors) or sort.before),
        *([] if page.completed is None else [page.completed]),
    )
    tasks = tasks or []  # nothing, aggregated, is null
    items = ",".join(tasks[: page.limit])
    if len(tasks) <= page.limit:
        return document(f'{{"items":[{items}],"next_cursor":null}}')
    last = orjson.loads(tasks[page.limit - 1])
    cursor = cursors.encode(LISTS.index((page.sort, page.completed)), last["order"], UUID(last["id"]))
    return document(
        f'{{"items":[{items}],"next_cursor":"{cursor}"}}',
        headers={"Link": f'</tasks?{_next(page, cursor)}>; rel="next"'},
    )


def _next(page: PageQuery, cursor: str) -> str:
    """Return the query of the next page: what was asked for, and the cursor. Nothing in it needs an escape."""
    asked = {"limit": page.limit, "completed": str(page.completed).lower(), "sort": page.sort}
    return "&".join(
        [*(f"{name}={value}" for name, value in asked.items() if name in page.model_fields_set), f"cursor={cursor}"]
    )


def _position(page: PageQuery, cursors: Cursors) -> tuple[Any, ...] | None:
    """Return where the page before ended. Raises InvalidInputError when that was a page of another list."""
    if page.cursor is None:
        return None
    listing, order, task_id = cursors.decode(page.cursor, len(LISTS))
    sort, completed = LISTS[listing]
    if (sort, completed) != (page.sort, page.completed):
        state = "" if completed is None else f"&completed={str(completed).lower()}"
        raise InvalidInputError(
            "The cursor is of another list. Start again without it, or go on with its sort and filter.",
            {"parameter": "cursor", "detail": f"is of the list sort={sort}{state}"},
        )
    return (order, task_id) if "order" in page.sort else (task_id,)
