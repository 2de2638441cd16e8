"""The tables as SQLAlchemy metadata: what `alembic check` compares the database with.

Nothing queries through this. What is not compared (checks, policies, grants, triggers, functions) lives in the
migrations, and psql shows it.
"""

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
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

workspaces = Table(
    "workspaces",
    metadata,
    Column("workspace_id", Uuid, nullable=False, server_default=text("uuidv7()")),
    Column("name", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("workspace_id", name="workspaces_pkey"),
)

members = Table(
    "members",
    metadata,
    Column("workspace_id", Uuid, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("joined_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("workspace_id", "user_id", name="members_pkey"),
    ForeignKeyConstraint(
        ["workspace_id"], [workspaces.c.workspace_id], name="members_workspace_id_fkey", ondelete="CASCADE"
    ),
    Index("members_by_user", "user_id", "workspace_id"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("workspace_id", Uuid, nullable=False, server_default=text("app.current_workspace_id('viewer'::text)")),
    Column("id", Uuid, nullable=False, server_default=text("uuidv7()")),
    Column("user_id", Text, nullable=False, server_default=text("app.current_user_id()")),
    Column("role", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("accepted_at", DateTime(timezone=True)),
    Column("accepted_by", Text),
    PrimaryKeyConstraint("workspace_id", "id", name="invitations_pkey"),
    UniqueConstraint("token_hash", name="invitations_token_hash_key"),
    ForeignKeyConstraint(
        ["workspace_id"], [workspaces.c.workspace_id], name="invitations_workspace_id_fkey", ondelete="CASCADE"
    ),
)

workspace_tasks = Table(
    "workspace_tasks",
    metadata,
    Column("workspace_id", Uuid, nullable=False, server_default=text("app.current_workspace_id('viewer'::text)")),
    Column("id", Uuid, nullable=False, server_default=text("uuidv7()")),
    Column("user_id", Text, nullable=False, server_default=text("app.current_user_id()")),
    Column("text", Text, nullable=False),
    Column("completed", Boolean, nullable=False, server_default=text("false")),
    Column("order", Integer, nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("completed_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("workspace_id", "id", name="workspace_tasks_pkey"),
    ForeignKeyConstraint(
        ["workspace_id"], [workspaces.c.workspace_id], name="workspace_tasks_workspace_id_fkey", ondelete="CASCADE"
    ),
    Index("workspace_tasks_by_order", "workspace_id", "order", "id"),
    Index("workspace_tasks_by_completed_order", "workspace_id", "completed", "order", "id"),
    Index("workspace_tasks_by_completed_age", "workspace_id", "completed", "id"),
)
