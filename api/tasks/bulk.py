"""Several tasks at once: all of them, or none. Those of a user, and by the same functions those of a workspace."""

from collections.abc import Sequence
from typing import Annotated

import orjson
from fastapi import Query
from starlette.responses import Response

from api.auth.caller import CallerSession
from api.http.access import require
from api.http.bodies import JsonBody
from api.http.codes import field_error
from api.http.problems import NotFoundError
from api.http.responses import json_response
from api.http.routers import new_router, problems, success
from api.tasks.models import DeletedCount, DeleteQuery, TaskBulkItem, TaskBulkResult, TaskBulkUpdate
from db.session import Session

router = new_router("tasks")


@router.patch(
    "",
    response_model=TaskBulkResult,
    responses=success(200, "The tasks as they are now.") | problems(404, 413, 415),
    dependencies=[JsonBody],
)
async def change_tasks(update: TaskBulkUpdate, db: CallerSession) -> Response:
    """Move or complete up to 500 tasks, all or none: what drag and drop needs."""
    return await change(db, CHANGE, update.tasks)


@router.delete("", response_model=DeletedCount, responses=success(200, "How many were deleted."))
async def clear_tasks(_query: Annotated[DeleteQuery, Query()], db: CallerSession) -> Response:
    """Delete those of your tasks that are done."""
    return await clear(db, CLEAR)


def change_statement(table: str, tenant: str) -> str:
    """Return the SQL that changes several tasks of a table: $1 is the tenant, $2 a JSON array of the changes.

    For each change, in its order, it returns whether there is such a task, and the JSON of the changed task: of none,
    if one is missing. Rows are locked in the order of their ids, here and in `clear_statement`: two such requests wait
    instead of deadlocking.
    """
    return f"""
        with change as (
            select * from rows from (json_to_recordset($2) as (id uuid, completed boolean, "order" integer))
                with ordinality as change (id, completed, "order", place)
        ), found as (
            select t.id from {table} as t
            where t.{tenant} = $1 and t.id = any (array(select id from change)) order by t.id for update
        ), changed as (
            update {table} as t set
                completed = coalesce(change.completed, t.completed), "order" = coalesce(change."order", t."order")
            from change join found using (id)
            where t.{tenant} = $1 and t.id = change.id and (select count(*) from found) = (select count(*) from change)
            returning t.*
        )
        select found.id is not null, case when changed.id is not null then to_json(changed)::text end
        from change left join found using (id) left join changed using (id)
        order by place
    """  # noqa: S608 - put together from constants


def clear_statement(table: str, tenant: str) -> str:
    """Return the SQL that deletes the completed tasks of a table, of the tenant $1, and returns how many."""
    return f"""
        with done as (
            select t.id from {table} as t where t.{tenant} = $1 and t.completed order by t.id for update
        ), deleted as (
            delete from {table} as t using done where t.{tenant} = $1 and t.id = done.id returning t.id
        )
        select count(*) from deleted
    """  # noqa: S608 - put together from constants


async def change(db: Session, statement: str, tasks: Sequence[TaskBulkItem]) -> Response:
    """Return the tasks as they are after all of these changes. Raises NotFoundError, and what `require` raises."""
    changes = orjson.dumps([task.model_dump(mode="json") for task in tasks]).decode()
    rows = await db.fetch(statement, db.tenant, changes)
    missing = [
        field_error("unknown_id", pointer=f"#/tasks/{place}/id", detail=f"No task with the id {task.id}.")
        for place, (task, (is_found, _)) in enumerate(zip(tasks, rows, strict=True))
        if not is_found
    ]
    if missing:
        await require(db, "editor")
        raise NotFoundError("Some of these tasks do not exist; nothing was changed. See errors.", *missing)
    return json_response('{"items":[' + ",".join(body for _, body in rows) + "]}")


async def clear(db: Session, statement: str) -> Response:
    """Return how many tasks were deleted. Raises what `require` raises."""
    deleted = await db.fetchval(statement, db.tenant)
    if not deleted:
        await require(db, "editor")
    return json_response(f'{{"deleted":{deleted}}}')


CHANGE = change_statement("app.tasks", "user_id")
CLEAR = clear_statement("app.tasks", "user_id")
