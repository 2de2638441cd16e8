"""What most tutorials teach: SQLModel, an AsyncSession from a dependency, `where user_id = …` in every query."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Query
from sqlalchemy import DateTime, FetchedValue
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from benchmarks.contenders import DATABASE_URL, POOL_SIZE
from benchmarks.contenders.users import CurrentUserId


class TaskBase(SQLModel):
    """What the owner of a task sets."""

    text: str = Field(min_length=1, max_length=500)
    completed: bool = False
    order: int = 0


class Task(TaskBase, table=True):
    """A row."""

    __tablename__ = "tasks"
    __table_args__ = {"schema": "app"}

    id: UUID = Field(default=None, primary_key=True, sa_column_kwargs={"server_default": FetchedValue()})
    user_id: str = Field(primary_key=True)
    created_at: datetime = Field(
        default=None, sa_type=DateTime(timezone=True), sa_column_kwargs={"server_default": FetchedValue()}
    )
    updated_at: datetime = Field(
        default=None, sa_type=DateTime(timezone=True), sa_column_kwargs={"server_default": FetchedValue()}
    )
    completed_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class TaskPublic(SQLModel):
    """A task in a response."""

    id: UUID
    user_id: str
    text: str
    completed: bool
    order: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


class TaskPage(SQLModel):
    """One page."""

    items: list[TaskPublic]
    next_cursor: UUID | None


class TaskCreate(TaskBase):
    """A task to add."""


class TaskUpdate(SQLModel):
    """What to change."""

    text: str | None = Field(default=None, min_length=1, max_length=500)
    completed: bool | None = None
    order: int | None = None


engine = create_async_engine(
    DATABASE_URL.replace("postgresql://", "postgresql+asyncpg://", 1), pool_size=POOL_SIZE, max_overflow=0
)
new_session = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


async def get_session() -> AsyncIterator[AsyncSession]:
    """Yield a session for one request."""
    async with new_session() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session)]
app = FastAPI()


@app.get("/tasks", response_model=TaskPage)
async def list_tasks(
    session: SessionDep, user_id: CurrentUserId, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> dict[str, object]:
    """Return the newest tasks of the caller."""
    query = select(Task).where(Task.user_id == user_id).order_by(col(Task.id).desc()).limit(limit)
    tasks = (await session.exec(query)).all()
    return {"items": tasks, "next_cursor": tasks[-1].id if len(tasks) == limit else None}


@app.get("/tasks/{task_id}", response_model=TaskPublic)
async def read_task(task_id: UUID, session: SessionDep, user_id: CurrentUserId) -> Task:
    """Return one task of the caller."""
    return await find(session, user_id, task_id)


@app.post("/tasks", response_model=TaskPublic, status_code=201)
async def create_task(task: TaskCreate, session: SessionDep, user_id: CurrentUserId) -> Task:
    """Add a task."""
    row = Task(user_id=user_id, **task.model_dump())
    session.add(row)
    await session.commit()
    await session.refresh(row)
    return row


@app.patch("/tasks/{task_id}", response_model=TaskPublic)
async def change_task(task_id: UUID, task: TaskUpdate, session: SessionDep, user_id: CurrentUserId) -> Task:
    """Change what is sent of one task of the caller."""
    row = await find(session, user_id, task_id)
    row.sqlmodel_update(task.model_dump(exclude_unset=True))
    session.add(row)
    await session.commit()
    await session.refresh(row)
    return row


async def find(session: AsyncSession, user_id: str, task_id: UUID) -> Task:
    """Return one task of the user. Raises HTTPException with status 404 if there is none."""
    task = (await session.exec(select(Task).where(Task.id == task_id, Task.user_id == user_id))).first()
    if task is None:
        raise HTTPException(status_code=404, detail="Task not found")
    return task
