"""Many tasks at once: all of them, or none."""

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from api.auth.caller import CallerSession, JsonBody
from api.http.openapi import answers, new_router, problems
from api.http.problems import NotFoundError
from api.http.responses import document
from api.tasks.routes import Body, Completed, Order, Task, TaskId, absent

router = new_router("tasks", 401, 422, 500, 503)


class OneOfMany(Body):
    """What to change about one of many tasks: at least one field beside its id."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 2})

    id: TaskId = Field(strict=False)
    completed: Completed = Field(default_factory=absent)
    order: Order = Field(default_factory=absent)

    @model_validator(mode="after")
    def _changes_something(self) -> "OneOfMany":
        if len(self.model_fields_set) == 1:
            raise ValueError("at least one of completed and order is needed")
        return self


class ManyChanges(Body):
    """Changes of many tasks, all or none."""

    tasks: list[OneOfMany] = Field(min_length=1, max_length=500, description="Each task once.")

    @model_validator(mode="after")
    def _names_each_task_once(self) -> "ManyChanges":
        if len({task.id for task in self.tasks}) < len(self.tasks):
            raise ValueError("each task may be named once")
        return self


class ChangedTasks(BaseModel):
    """The tasks that were changed, in the order of the request."""

    items: list[Task]


# Locked in the order of their ids, here and in CLEAR: two such requests wait for each other instead of deadlocking.
CHANGE = """
with change as (
    select * from unnest($1::uuid[], $2::boolean[], $3::integer[]) with ordinality
        as change (id, completed, "order", place)
), mine as (
    select id from app.tasks where id = any ($1) order by id for update
), changed as (
    update app.tasks as t set
        completed = coalesce(change.completed, t.completed), "order" = coalesce(change."order", t."order")
    from change join mine using (id)
    where t.id = change.id and (select count(*) from mine) = cardinality($1)
    returning t.id, to_json(t)::text as answer
)
select mine.id is not null, answer
from change left join mine using (id) left join changed using (id)
order by place
"""


@router.patch(
    "",
    response_model=ChangedTasks,
    responses=answers(200, "The tasks as they are now.") | problems(404, 413, 415),
    dependencies=[JsonBody],
)
async def change_tasks(changes: ManyChanges, db: CallerSession) -> Response:
    """Move or complete up to 500 of your tasks, all or none: what drag and drop needs."""
    tasks = changes.tasks
    rows = await db.fetch(
        CHANGE, [task.id for task in tasks], [task.completed for task in tasks], [task.order for task in tasks]
    )
    missing = [
        {"pointer": f"#/tasks/{place}/id", "detail": f"You have no task {task.id}."}
        for place, (task, (found, _)) in enumerate(zip(tasks, rows, strict=True))
        if not found
    ]
    if missing:
        raise NotFoundError("You do not have all of these tasks, so none was changed: errors says which.", *missing)
    return document('{"items":[' + ",".join(answer for _, answer in rows) + "]}")


class Cleared(BaseModel):
    """What clearing a list did."""

    deleted: int = Field(description="How many tasks are gone.")


class ClearQuery(BaseModel):
    """What to delete."""

    model_config = ConfigDict(extra="forbid")

    completed: Literal["true"] = Field(description="Those that are done: a list is not deleted by mistake.")


CLEAR = """
with done as (
    select id from app.tasks where completed order by id for update
), gone as (
    delete from app.tasks as t using done where t.id = done.id returning t.id
)
select count(*) from gone
"""


@router.delete("", response_model=Cleared, responses=answers(200, "How many are gone."))
async def clear_tasks(_which: Annotated[ClearQuery, Query()], db: CallerSession) -> Response:
    """Delete those of your tasks that are done."""
    return document(f'{{"deleted":{await db.fetchval(CLEAR)}}}')
