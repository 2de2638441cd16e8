"""Tasks as JSON: what comes in and what goes out."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.http import fields
from api.http.bodies import Body, Update
from api.http.fields import Integer, absent, refusal
from api.http.pages import Cursor, Flag, Limit, NextCursor
from api.tasks.examples import TASK_ID

Text = Annotated[
    fields.Text,
    Field(description="What to do: 1 to 500 characters, not only white space.", examples=["Buy milk"]),
]
Order = Annotated[Integer, Field(description="Position in the list, smallest first.", examples=[10])]
Completed = Annotated[bool, Field(description="Whether it is done.")]
TaskId = Annotated[UUID, Field(description="A UUID, version 7.", examples=[TASK_ID])]


class Task(BaseModel):
    """A task."""

    id: TaskId
    user_id: str = Field(description="The owner: `sub` of the token.", examples=["alice"])
    text: Text
    completed: Completed
    order: Order
    created_at: datetime
    updated_at: datetime = Field(description="When it was last changed. In quotes it is the ETag.")
    completed_at: datetime | None = Field(description="When it was last completed; null while it is not.")


class TaskCreate(Body):
    """A task to add."""

    # A default in the schema would make these required in types that are generated from it.
    text: Text
    completed: bool = Field(default_factory=bool, description="Whether it is done; false if it is not sent.")
    order: Order = Field(default_factory=int, description="Position in the list, smallest first; 0 if it is not sent.")


class TaskReplace(Body):
    """Everything about a task that its owner can set."""

    text: Text
    completed: Completed
    order: Order


class TaskUpdate(Update):
    """What to change about a task: at least one field."""

    text: Text = Field(default_factory=absent)
    completed: Completed = Field(default_factory=absent)
    order: Order = Field(default_factory=absent)


class TaskPage(BaseModel):
    """A page of a list of tasks."""

    items: list[Task]
    next_cursor: NextCursor


class TaskListQuery(BaseModel):
    """Which page of which list."""

    model_config = ConfigDict(strict=True, extra="forbid")

    limit: Limit = 50
    cursor: Cursor = None
    completed: Flag = Field(default=None, description="Only those that are done, or are not.")
    q: fields.SearchText = Field(
        default_factory=absent,
        description="Only those with this in their text, in upper or lower case: 1 to 100 characters.",
        examples=["milk"],
    )
    sort: Literal["order", "-order", "created", "-created"] = Field(
        default="order", description="By position or by age; `-` is the other way round. Ties go by age."
    )


class TaskBulkItem(Body):
    """What to change about one of several tasks: at least one field beside its id."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 2})

    id: TaskId = Field(strict=False)
    completed: Completed = Field(default_factory=absent)
    order: Order = Field(default_factory=absent)

    @model_validator(mode="after")
    def _changes_something(self) -> "TaskBulkItem":
        if len(self.model_fields_set) == 1:
            raise refusal("nothing_to_change", fields=["completed", "order"])
        return self


class TaskBulkUpdate(Body):
    """Changes of several tasks, all or none."""

    tasks: list[TaskBulkItem] = Field(min_length=1, max_length=500, description="Each task once.")

    @model_validator(mode="after")
    def _names_each_task_once(self) -> "TaskBulkUpdate":
        if len({task.id for task in self.tasks}) < len(self.tasks):
            raise refusal("repeated_id")
        return self


class TaskBulkResult(BaseModel):
    """The tasks that were changed, in the order of the request."""

    items: list[Task]


class DeleteQuery(BaseModel):
    """Which tasks to delete."""

    model_config = ConfigDict(extra="forbid")

    completed: Literal["true"] = Field(description="Those that are done: a list is not deleted by mistake.")


class DeletedCount(BaseModel):
    """What was deleted."""

    deleted: int = Field(description="How many tasks were deleted.")
