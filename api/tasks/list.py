"""Pages of tasks, in every order."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.auth.caller import CallerSession
from api.http.pages import ID, Filter, Key, Listing, Sort, integer, page
from api.http.routers import PAGE, new_router
from api.http.search import in_any_case
from api.tasks.models import TaskListQuery, TaskPage

router = new_router("tasks")

ORDER = Key("order", integer, -(2**31), 2**31 - 1)

TASKS = Listing(
    table="app.tasks",
    tenant="user_id",
    sorts={
        "order": Sort((ORDER, ID)),
        "-order": Sort((ORDER, ID), descending=True),
        "created": Sort((ID,)),
        "-created": Sort((ID,), descending=True),
    },
    filters={
        "completed": Filter("t.completed = (select {}::boolean)"),
        # The same as the operator ~, of which the planner expects few rows: it would read and sort all of the caller's.
        "q": Filter("regexp_like(t.text, (select {}::text))", in_any_case),
    },
)


@router.get("", response_model=TaskPage, responses=PAGE)
async def list_tasks(query: Annotated[TaskListQuery, Query()], db: CallerSession) -> Response:
    """List your tasks, a page at a time.

    Follow the header `Link`, or send `next_cursor` back as `cursor` with the same `sort` and filters, until it is null.
    """
    return await page(db, "/tasks", TASKS, query)
