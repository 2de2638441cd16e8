"""Row-level security in the simplest way: asyncpg's pool and `transaction()`, `set_config()`, response_model."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import asyncpg
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, Field

from benchmarks.contenders import DATABASE_URL, POOL_SIZE
from benchmarks.contenders.users import CurrentUserId

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

COLUMNS = 'id, user_id, text, completed, "order", created_at, updated_at, completed_at'
LIST = f"select {COLUMNS} from app.tasks order by id desc limit $1"
READ = f"select {COLUMNS} from app.tasks where id = $1"
CREATE = f'insert into app.tasks (text, completed, "order") values ($1, $2, $3) returning {COLUMNS}'
CHANGE = f"""
update app.tasks
set text = coalesce($2, text), completed = coalesce($3, completed), "order" = coalesce($4, "order")
where id = $1
returning {COLUMNS}
"""


class Task(BaseModel):
    """A task in a response."""

    id: UUID
    user_id: str
    text: str
    completed: bool
    order: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


class TaskPage(BaseModel):
    """One page."""

    items: list[Task]
    next_cursor: UUID | None


class NewTask(BaseModel):
    """A task to add."""

    text: str = Field(min_length=1, max_length=500)
    completed: bool = False
    order: int = 0


class TaskChange(BaseModel):
    """What to change."""

    text: str | None = Field(default=None, min_length=1, max_length=500)
    completed: bool | None = None
    order: int | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep a pool while the app runs."""
    async with asyncpg.create_pool(DATABASE_URL, min_size=POOL_SIZE, max_size=POOL_SIZE) as pool:
        app.state.pool = pool
        yield


async def users_connection(request: Request, user_id: CurrentUserId) -> AsyncIterator[Connection]:
    """Yield a connection with an open transaction of the caller."""
    pool: asyncpg.Pool[asyncpg.Record] = request.app.state.pool
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select set_config('app.user_id', $1, true)", user_id)
        yield connection


UsersConnection = Annotated[Connection, Depends(users_connection)]
app = FastAPI(lifespan=lifespan)


@app.get("/tasks", response_model=TaskPage)
async def list_tasks(connection: UsersConnection, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> dict[str, object]:
    """Return the newest tasks of the caller."""
    items = [dict(row) for row in await connection.fetch(LIST, limit)]
    return {"items": items, "next_cursor": items[-1]["id"] if len(items) == limit else None}


@app.get("/tasks/{task_id}", response_model=Task)
async def read_task(task_id: UUID, connection: UsersConnection) -> Mapping[str, Any]:
    """Return one task of the caller."""
    return found(await connection.fetchrow(READ, task_id))


@app.post("/tasks", response_model=Task, status_code=201)
async def create_task(task: NewTask, connection: UsersConnection) -> Mapping[str, Any]:
    """Add a task."""
    return found(await connection.fetchrow(CREATE, task.text, task.completed, task.order))


@app.patch("/tasks/{task_id}", response_model=Task)
async def change_task(task_id: UUID, task: TaskChange, connection: UsersConnection) -> Mapping[str, Any]:
    """Change what is sent of one task of the caller."""
    return found(await connection.fetchrow(CHANGE, task_id, task.text, task.completed, task.order))


def found(row: asyncpg.Record | None) -> Mapping[str, Any]:
    """Return the row. Raises HTTPException with status 404 if there is none."""
    if row is None:
        raise HTTPException(status_code=404, detail="Task not found")
    return dict(row)
