"""One task: what comes in, what goes out, and the SQL in between. Many: `api/task_list.py`, `api/task_bulk.py`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from starlette.responses import Response

from api.auth.caller import MERGE_PATCH, CallerSession, JsonBody, MergePatchBody
from api.http import examples, idempotency
from api.http.etags import IfMatch, IfNoneMatch, etag, is_seen, not_modified, precondition_failed, versions
from api.http.idempotency import IdempotencyKey
from api.http.openapi import answers, new_router, problems, reference
from api.http.responses import document, only

router = new_router("tasks", 401, 422, 500, 503)

# All that Unicode calls white space. \s is something else to Rust, to JavaScript and to Python.
BLANK = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

Text = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        pattern=rf"^[^\x00]*[^\x00{BLANK}][^\x00]*$",
        description="What to do: 1 to 500 characters, not only white space.",
        examples=["Buy milk"],
    ),
]


def whole(value: object) -> object:
    """Return 10 for 10.0: JSON Schema, as JavaScript, knows no difference."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Order = Annotated[
    int,
    Field(ge=-(2**31), le=2**31 - 1, description="Position in the list, smallest first.", examples=[10]),
    BeforeValidator(whole),
]
Completed = Annotated[bool, Field(description="Whether it is done.")]
TaskId = Annotated[UUID, Field(description="A UUID, version 7.", examples=[examples.TASK_ID])]


class Task(BaseModel):
    """A task, as it is answered."""

    id: TaskId
    user_id: str = Field(description="The owner: `sub` of the token.", examples=["alice"])
    text: Text
    completed: Completed
    order: Order
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = Field(description="When it was last completed; null while it is not.")


class Body(BaseModel):
    """A request's body: exact types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid")


class NewTask(Body):
    """A task to add."""

    # A default in the schema would make these required in types that are generated from it.
    text: Text
    completed: bool = Field(default_factory=bool, description="Whether it is done; false if it is not sent.")
    order: Order = Field(default_factory=int, description="Position in the list, smallest first; 0 if it is not sent.")


class WholeTask(Body):
    """Everything about a task that its owner can set."""

    text: Text
    completed: Completed
    order: Order


def absent() -> Any:  # noqa: ANN401 - whatever the field's type is
    """Return what stands for "not sent". A null that is sent fails the field's type."""
    return None


class TaskChange(Body):
    """What to change about a task: at least one field."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    text: Text = Field(default_factory=absent)
    completed: Completed = Field(default_factory=absent)
    order: Order = Field(default_factory=absent)

    @model_validator(mode="after")
    def _changes_something(self) -> "TaskChange":
        if not self.model_fields_set:
            raise ValueError("at least one of text, completed and order is needed")
        return self


UPDATED = answers(200, "The task as it is now.", "ETag") | problems(404, 412, 413, 415)

ADD = """
insert into app.tasks as t (text, completed, "order") values ($1, $2, $3)
returning t.id, t.xmin::text as version, to_json(t)::text as answer
"""

# One statement: the key is taken if and only if the task is there. Whoever sends the same key meanwhile waits.
ADD_ONCE = """
with task as (
    insert into app.tasks as t (text, completed, "order") values ($1, $2, $3)
    returning t.id, t.xmin::text as version, to_json(t)::text as answer
), kept as (
    insert into app.idempotency_keys (key, fingerprint, task_id, version, answer)
    select $4, $5, id, version, answer from task
)
select id, version, answer from task
"""


@router.post(
    "",
    status_code=201,
    response_model=Task,
    responses=answers(201, "The new task.", "Location", "ETag", "Idempotency-Replayed") | problems(413, 415),
    dependencies=[JsonBody],
)
async def create_task(task: NewTask, db: CallerSession, idempotency_key: IdempotencyKey = None) -> Response:
    """Add a task."""
    values = (task.text, task.completed, task.order)
    if idempotency_key is None:
        return _created(await db.fetch(ADD, *values))
    key = idempotency.parse(idempotency_key)
    fingerprint = idempotency.fingerprint(task.model_dump_json())
    while True:  # twice at most: a key that was taken is recalled, or it has expired and is free
        try:
            return _created(await db.fetch(ADD_ONCE, *values, key, fingerprint))
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != idempotency.TAKEN:
                raise
        if kept := await idempotency.recall(db, key, fingerprint):
            return _created([kept], {"Idempotency-Replayed": "true"})


def _created(rows: Sequence[Iterable[Any]], headers: Mapping[str, str] | None = None) -> Response:
    [(task_id, version, answer)] = rows
    return document(answer, 201, {"Location": f"/tasks/{task_id}", "ETag": etag(version), **(headers or {})})


@router.get(
    "/{task_id}",
    response_model=Task,
    responses=answers(200, "The task.", "ETag")
    | answers(304, "The task still has an ETag of If-None-Match.", "ETag")
    | problems(404),
)
async def read_task(task_id: TaskId, db: CallerSession, if_none_match: IfNoneMatch = None) -> Response:
    """Read one of your tasks."""
    answer, version = only(
        await db.fetch("select to_json(t)::text, t.xmin::text from app.tasks as t where id = $1", task_id)
    )
    if is_seen(version, if_none_match):
        return not_modified(version)
    return document(answer, headers={"ETag": etag(version)})


@router.put("/{task_id}", response_model=Task, responses=UPDATED, dependencies=[JsonBody])
async def replace_task(task_id: TaskId, task: WholeTask, db: CallerSession, if_match: IfMatch = None) -> Response:
    """Replace everything that you can set about one of your tasks."""
    return await _update(db, task_id, task, if_match)


@router.patch(
    "/{task_id}",
    response_model=Task,
    responses=UPDATED,
    dependencies=[MergePatchBody],
    openapi_extra={"requestBody": {"content": {MERGE_PATCH: {"schema": reference("schemas", "TaskChange")}}}},
)
async def change_task(task_id: TaskId, task: TaskChange, db: CallerSession, if_match: IfMatch = None) -> Response:
    """Change what is sent about one of your tasks, and nothing else."""
    return await _update(db, task_id, task, if_match)


async def _update(db: CallerSession, task_id: TaskId, task: WholeTask | TaskChange, if_match: str | None) -> Response:
    # No column is nullable: null stands for a field that was not sent.
    rows = await db.fetch(
        """
        update app.tasks as t set
            text = coalesce($2, text), completed = coalesce($3, completed), "order" = coalesce($4, "order")
        where id = $1 and ($5::text[] is null or xmin::text = any ($5))
        returning to_json(t)::text, t.xmin::text
        """,
        task_id,
        task.text,
        task.completed,
        task.order,
        versions(if_match),
    )
    if not rows:
        await _raise_stale(db, task_id, if_match)
    answer, version = only(rows)
    return document(answer, headers={"ETag": etag(version)})


@router.delete("/{task_id}", status_code=204, responses=answers(204, "The task is gone.") | problems(404, 412))
async def delete_task(task_id: TaskId, db: CallerSession, if_match: IfMatch = None) -> Response:
    """Delete one of your tasks."""
    rows = await db.fetch(
        "delete from app.tasks where id = $1 and ($2::text[] is null or xmin::text = any ($2)) returning id",
        task_id,
        versions(if_match),
    )
    if not rows:
        await _raise_stale(db, task_id, if_match)
    only(rows)
    return Response(status_code=204)


async def _raise_stale(db: CallerSession, task_id: TaskId, if_match: str | None) -> None:
    """Raise PreconditionFailedError if the task is there: then its version was none of If-Match's."""
    if if_match is not None:
        version = await db.fetchval("select xmin::text from app.tasks where id = $1", task_id)
        if version is not None:
            raise precondition_failed(version)
