"""Partywall's app, middleware and authentication with constant responses: what is left without the database."""

from starlette.responses import Response

from api import main
from api.auth.caller import CallerSession
from api.health.routes import HEALTH
from api.http.responses import json_response
from api.http.routers import new_router
from api.tasks.models import TaskCreate, TaskUpdate
from api.tasks.resource import TASKS

ID = "01900000-0000-7000-8000-000000000000"
TASK = (
    f'{{"id":"{ID}","user_id":"bench-0","text":"Call the plumber about the leak, 00000000","completed":false,'
    '"order":1000,"created_at":"2024-07-01T00:00:00.123456+00:00","updated_at":"2024-07-01T00:00:00.123456+00:00",'
    '"completed_at":null}'
)
PAGE = '{"items":[' + ",".join([TASK] * 50) + f'],"next_cursor":"{"A" * 39}"}}'


router = new_router("tasks", ())


@router.get("")
async def list_tasks(_: CallerSession) -> Response:
    """Return a page."""
    return json_response(PAGE)


@router.get("/{_task_id}")
async def read_task(_: CallerSession, _task_id: str) -> Response:
    """Return a task."""
    return json_response(TASK)


@router.post("")
async def create_task(_: CallerSession, _task: TaskCreate) -> Response:
    """Return a task."""
    return json_response(TASK, 201)


@router.patch("/{_task_id}")
async def change_task(_: CallerSession, _task_id: str, _task: TaskUpdate) -> Response:
    """Return a task."""
    return json_response(TASK)


main.RESOURCES = (TASKS._replace(routers=(router,)), HEALTH)
app = main.app
