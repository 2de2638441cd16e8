"""Several tasks at once: all of them, or none."""

from typing import Annotated

import orjson
from fastapi import Query
from starlette.responses import Response

from api.auth.caller import CallerSession
from api.http.bodies import JsonBody
from api.http.codes import field_error
from api.http.problems import NotFoundError
from api.http.responses import json_response
from api.http.routers import new_router, problems, success
from api.tasks.models import DeletedCount, DeleteQuery, TaskBulkResult, TaskBulkUpdate

router = new_router("tasks")


@router.patch(
    "",
    response_model=TaskBulkResult,
    responses=success(200, "The tasks as they are now.") | problems(404, 413, 415),
    dependencies=[JsonBody],
)
async def change_tasks(update: TaskBulkUpdate, db: CallerSession) -> Response:
    """Move or complete up to 500 tasks, all or none: what drag and drop needs."""
    tasks = update.tasks
    # Locked in the order of their ids, here and in clear_tasks: two such requests wait instead of deadlocking.
    rows = await db.fetch(
        """
        with change as (
            select * from rows from (json_to_recordset($2) as (id uuid, completed boolean, "order" integer))
                with ordinality as change (id, completed, "order", place)
        ), found as (
            select t.id from app.tasks as t
            where t.user_id = $1 and t.id = any (array(select id from change)) order by t.id for update
        ), changed as (
            update app.tasks as t set
                completed = coalesce(change.completed, t.completed), "order" = coalesce(change."order", t."order")
            from change join found using (id)
            where t.user_id = $1 and t.id = change.id and (select count(*) from found) = (select count(*) from change)
            returning t.id, to_json(t)::text as body
        )
        select found.id is not null, body
        from change left join found using (id) left join changed using (id)
        order by place
        """,
        db.user_id,
        orjson.dumps([task.model_dump(mode="json") for task in tasks]).decode(),
    )
    missing = [
        field_error("unknown_id", pointer=f"#/tasks/{place}/id", detail=f"No task with the id {task.id}.")
        for place, (task, (is_found, _)) in enumerate(zip(tasks, rows, strict=True))
        if not is_found
    ]
    if missing:
        raise NotFoundError("Some of these tasks do not exist; nothing was changed. See errors.", *missing)
    return json_response('{"items":[' + ",".join(body for _, body in rows) + "]}")


@router.delete("", response_model=DeletedCount, responses=success(200, "How many were deleted."))
async def clear_tasks(_query: Annotated[DeleteQuery, Query()], db: CallerSession) -> Response:
    """Delete those of your tasks that are done."""
    deleted = await db.fetchval(
        """
        with done as (
            select t.id from app.tasks as t where t.user_id = $1 and t.completed order by t.id for update
        ), deleted as (
            delete from app.tasks as t using done where t.user_id = $1 and t.id = done.id returning t.id
        )
        select count(*) from deleted
        """,
        db.user_id,
    )
    return json_response(f'{{"deleted":{deleted}}}')
