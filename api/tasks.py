"""Tasks: what comes in, what goes out, and the SQL in between."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from api.deps import CallerCursors, CallerSession, JsonBody
from api.errors import NotFoundError
from api.openapi import problems
from api.responses import NO_SUCH_ROW, document

router = APIRouter(prefix="/tasks", tags=["tasks"], responses=problems(401, 422, 500, 503))

# Smaller than the position of any task: no uuid version 7 is all zeros.
BEFORE_THE_FIRST = (-(2**31), UUID(int=0))

Text = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        pattern=r"^[^\x00]*[^\s\x00][^\x00]*$",
        description="What to do: 1 to 500 characters, not only white space.",
        examples=["Buy milk"],
    ),
]
Order = Annotated[
    int, Field(ge=-(2**31), le=2**31 - 1, description="Position in the list, smallest first.", examples=[10])
]
Completed = Annotated[bool, Field(description="Whether it is done.")]


class Task(BaseModel):
    """A task, as it is answered."""

    id: UUID
    user_id: str = Field(description="The owner: `sub` of the token.", examples=["alice"])
    text: Text
    completed: Completed
    order: Order
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = Field(description="When it was last completed; null while it is not.")


class TaskPage(BaseModel):
    """One page of a list."""

    items: list[Task]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


class Body(BaseModel):
    """A request's body: exact types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid")


class NewTask(Body):
    """A task to add."""

    text: Text
    completed: Completed = False
    order: Order = 0


class WholeTask(Body):
    """Everything about a task that its owner can set."""

    text: Text
    completed: Completed
    order: Order


def _absent() -> Any:  # noqa: ANN401 - stands for "not sent"; a null that is sent fails the field's type
    return None


class TaskChange(Body):
    """What to change about a task: at least one field."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    text: Text = Field(default_factory=_absent)
    completed: Completed = Field(default_factory=_absent)
    order: Order = Field(default_factory=_absent)

    @model_validator(mode="after")
    def _changes_something(self) -> "TaskChange":
        if not self.model_fields_set:
            raise ValueError("at least one of text, completed and order is needed")
        return self


class PageQuery(BaseModel):
    """Which page of the list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=200, description="How many tasks at most.")
    cursor: str | None = Field(default=None, description="`next_cursor` of the page before.")
    completed: bool | None = Field(default=None, description="Only those that are done, or are not.")


@router.post("", status_code=201, response_model=Task, responses=problems(413, 415), dependencies=[JsonBody])
async def create_task(task: NewTask, db: CallerSession) -> Response:
    """Add a task."""
    [(task_id, json)] = await db.fetch(
        """
        insert into app.tasks as t (text, completed, "order") values ($1, $2, $3)
        returning t.id, to_json(t)::text
        """,
        task.text,
        task.completed,
        task.order,
    )
    return document(json, 201, {"Location": f"/tasks/{task_id}"})


@router.get("", response_model=TaskPage)
async def list_tasks(page: Annotated[PageQuery, Query()], db: CallerSession, cursors: CallerCursors) -> Response:
    """List your tasks by `order`, ties by age, a page at a time."""
    after = cursors.decode(page.cursor) if page.cursor is not None else BEFORE_THE_FIRST
    states = [True, False] if page.completed is None else [page.completed]
    rows = await db.fetch(
        """
        select to_json(t)::text, t."order", t.id
        from app.tasks as t
        where (t."order", t.id) > ($1, $2) and t.completed = any ($3)
        order by t."order", t.id
        limit $4
        """,
        *after,
        states,
        page.limit + 1,  # one more than asked for tells whether there is a next page
    )
    items = ",".join(json for json, _, _ in rows[: page.limit])
    next_cursor = "null"
    if len(rows) > page.limit:
        _, order, task_id = rows[page.limit - 1]
        next_cursor = f'"{cursors.encode(order, task_id)}"'
    return document(f'{{"items":[{items}],"next_cursor":{next_cursor}}}')


@router.get("/{task_id}", response_model=Task, responses=problems(404))
async def read_task(task_id: UUID, db: CallerSession) -> Response:
    """Read one of your tasks."""
    return document(await db.fetchval("select to_json(t)::text from app.tasks as t where id = $1", task_id))


@router.put("/{task_id}", response_model=Task, responses=problems(404, 413, 415), dependencies=[JsonBody])
async def replace_task(task_id: UUID, task: WholeTask, db: CallerSession) -> Response:
    """Replace everything that you can set about one of your tasks."""
    return await _update(db, task_id, task)


@router.patch("/{task_id}", response_model=Task, responses=problems(404, 413, 415), dependencies=[JsonBody])
async def change_task(task_id: UUID, task: TaskChange, db: CallerSession) -> Response:
    """Change what is sent about one of your tasks, and nothing else."""
    return await _update(db, task_id, task)


async def _update(db: CallerSession, task_id: UUID, task: WholeTask | TaskChange) -> Response:
    # No column is nullable: null stands for a field that was not sent.
    return document(
        await db.fetchval(
            """
            update app.tasks as t set
                text = coalesce($2, text), completed = coalesce($3, completed), "order" = coalesce($4, "order")
            where id = $1
            returning to_json(t)::text
            """,
            task_id,
            task.text,
            task.completed,
            task.order,
        )
    )


@router.delete("/{task_id}", status_code=204, responses=problems(404))
async def delete_task(task_id: UUID, db: CallerSession) -> Response:
    """Delete one of your tasks."""
    if await db.fetchval("delete from app.tasks where id = $1 returning id", task_id) is None:
        raise NotFoundError(NO_SUCH_ROW)
    return Response(status_code=204)
