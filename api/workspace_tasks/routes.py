"""One task of a workspace: create, read, replace, change, delete."""

from starlette.responses import Response

from api.auth.caller import WorkspaceSession
from api.http import idempotency, rows
from api.http.bodies import JsonBody, MergePatchBody
from api.http.etags import IfMatch, IfNoneMatch, UnlessMatch
from api.http.idempotency import IdempotencyKey
from api.http.routers import CREATED, DELETED, FOUND, NEEDS_ROLE, UPDATED, in_workspace, merge_patch
from api.http.rows import Row
from api.tasks.examples import MISSING
from api.tasks.models import TaskCreate, TaskId, TaskReplace, TaskUpdate
from api.workspace_tasks.models import WorkspaceTask

router = in_workspace("workspace_tasks", "tasks")


@router.post("", status_code=201, response_model=WorkspaceTask, responses=CREATED | NEEDS_ROLE, dependencies=[JsonBody])
async def create_workspace_task(
    task: TaskCreate, db: WorkspaceSession, idempotency_key: IdempotencyKey = None
) -> Response:
    """Add a task to a workspace: as an editor or an owner.

    With an `Idempotency-Key` it is safe to send it again: there will be one task.
    """
    insert = """
        with created as (
            insert into app.workspace_tasks (text, completed, "order") values ($1, $2, $3) returning *
        )
        select c.id, to_json(c)::text, to_json(c.updated_at)::text from created as c
    """
    values = (task.text, task.completed, task.order)
    path = f"/workspaces/{db.workspace_id}/tasks"
    return await idempotency.create(db, path, task, idempotency_key, insert, values)


TASK = Row(
    read="""
    select to_json(t)::text, to_json(t.updated_at)::text
    from app.workspace_tasks as t where t.workspace_id = $1 and t.id = $2
    """,
    missing=MISSING,
)


@router.get("/{task_id}", response_model=WorkspaceTask, responses=FOUND)
async def read_workspace_task(
    task_id: TaskId, db: WorkspaceSession, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
) -> Response:
    """Read a task of a workspace: as a member.

    With `If-None-Match` the response is a 304 without a body if the task still has that `ETag`.
    """
    return await rows.read(db, TASK, [task_id], if_match, if_none_match)


@router.put("/{task_id}", response_model=WorkspaceTask, responses=UPDATED | NEEDS_ROLE, dependencies=[JsonBody])
async def replace_workspace_task(
    task_id: TaskId,
    task: TaskReplace,
    db: WorkspaceSession,
    if_match: IfMatch = None,
    if_none_match: UnlessMatch = None,
) -> Response:
    """Replace everything that can be set about a task of a workspace: as an editor or an owner.

    With `If-Match` nothing is written if the task has changed since it had that `ETag`.
    """
    values = (task.text, task.completed, task.order)
    return await rows.update(db, TASK, UPDATE, [task_id], values, if_match, if_none_match)


@router.patch(
    "/{task_id}",
    response_model=WorkspaceTask,
    responses=UPDATED | NEEDS_ROLE,
    dependencies=[MergePatchBody],
    openapi_extra=merge_patch("TaskUpdate"),
)
async def change_workspace_task(
    task_id: TaskId,
    task: TaskUpdate,
    db: WorkspaceSession,
    if_match: IfMatch = None,
    if_none_match: UnlessMatch = None,
) -> Response:
    """Change the fields of a workspace's task that are sent, and no others: as an editor or an owner.

    With `If-Match` nothing is written if the task has changed since it had that `ETag`.
    """
    values = (task.text, task.completed, task.order)
    return await rows.update(db, TASK, UPDATE, [task_id], values, if_match, if_none_match)


# No column is nullable: null stands for a field that was not sent.
UPDATE = """
with changed as (
    update app.workspace_tasks as t set
        text = coalesce($5, text), completed = coalesce($6, completed), "order" = coalesce($7, "order")
    where t.workspace_id = $1 and t.id = $2
        and ($3::text[] is null or t.updated_at = any ($3::timestamptz[]))
        and ($4::text[] is null or t.updated_at <> all ($4::timestamptz[]))
    returning t.*
)
select to_json(c)::text, to_json(c.updated_at)::text from changed as c
"""


@router.delete("/{task_id}", status_code=204, responses=DELETED | NEEDS_ROLE)
async def delete_workspace_task(
    task_id: TaskId, db: WorkspaceSession, if_match: IfMatch = None, if_none_match: UnlessMatch = None
) -> Response:
    """Delete a task of a workspace: as an editor or an owner.

    With `If-Match` it is not deleted if it has changed since it had that `ETag`.
    """
    delete = """
        delete from app.workspace_tasks as t
        where t.workspace_id = $1 and t.id = $2
            and ($3::text[] is null or t.updated_at = any ($3::timestamptz[]))
            and ($4::text[] is null or t.updated_at <> all ($4::timestamptz[]))
        returning t.id
    """
    return await rows.delete(db, TASK, delete, [task_id], if_match, if_none_match)
