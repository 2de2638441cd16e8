"""The tables as SQLAlchemy metadata: what `alembic check` compares the database with.

Nothing queries through this. What is not compared (checks, policies, grants, triggers, functions) lives in the
migrations, and psql shows it.
"""

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)

metadata = MetaData(schema="app")

tasks = Table(
    "tasks",
    metadata,
    Column("id", Uuid, nullable=False, server_default=text("uuidv7()")),
    Column("user_id", Text, nullable=False, server_default=text("app.current_user_id()")),
    Column("text", Text, nullable=False),
    Column("completed", Boolean, nullable=False, server_default=text("false")),
    Column("order", Integer, nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("completed_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("user_id", "id", name="tasks_pkey"),
    Index("tasks_by_order", "user_id", "order", "id"),
    Index("tasks_by_completed_order", "user_id", "completed", "order", "id"),
    Index("tasks_by_completed_age", "user_id", "completed", "id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Text, nullable=False, server_default=text("app.current_user_id()")),
    Column("key", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("location", Text),
    Column("etag", Text),
    Column("body", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("user_id", "key", name="idempotency_keys_pkey"),
)
