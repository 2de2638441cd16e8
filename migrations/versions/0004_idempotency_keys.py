"""A creation that is sent twice happens once."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of the answers to repeat, with its wall and its grants."""
    op.execute("""
create table app.idempotency_keys (
    user_id text not null default app.current_user_id(),
    key text not null,
    fingerprint bytea not null,
    task_id uuid not null,
    version text not null,
    answer text not null,
    created_at timestamptz not null default now(),
    constraint idempotency_keys_pkey primary key (user_id, key),
    constraint idempotency_keys_user_id_valid
        check (char_length(user_id) between 1 and 255 and user_id !~ '[\\x01-\\x1f\\x7f-\\x9f]'),
    constraint idempotency_keys_key_length check (char_length(key) between 1 and 255)
)""")
    for statement in COMMENTS:
        op.execute(statement)
    op.execute("alter table app.idempotency_keys enable row level security, force row level security")
    op.execute("""
create policy idempotency_keys_belong_to_their_user on app.idempotency_keys
for all to app_api
using (user_id = app.current_user_id())
with check (user_id = app.current_user_id())""")
    op.execute("""
create policy idempotency_keys_expire on app.idempotency_keys
for all to app_owner
using (created_at < now() - interval '24 hours')
with check (false)""")
    op.execute("""
comment on policy idempotency_keys_expire on app.idempotency_keys is
    'partywall clean deletes what is older than a day, as app_owner; nothing younger is visible to it.'""")
    # Not granted: update. An answer is never changed, only forgotten.
    op.execute("""
grant select, delete, insert (key, fingerprint, task_id, version, answer) on app.idempotency_keys to app_api""")


COMMENTS = (
    """comment on table app.idempotency_keys is
    'The answers to POST /tasks with the header Idempotency-Key, kept for 24 hours to be given again.'""",
    "comment on column app.idempotency_keys.user_id is 'Who sent the key. Another user''s key is another key.'",
    "comment on column app.idempotency_keys.key is 'The key, as the client made it up.'",
    "comment on column app.idempotency_keys.fingerprint is 'SHA-256 of the request: the key belongs to it alone.'",
    """comment on column app.idempotency_keys.task_id is
    'The task that was created. No foreign key: the answer is repeated even if the task is gone.'""",
    "comment on column app.idempotency_keys.version is 'The version of the task, as the answer''s ETag had it.'",
    "comment on column app.idempotency_keys.answer is 'The body of the answer: the task as it was created.'",
    "comment on column app.idempotency_keys.created_at is 'When the key was first used. It expires 24 hours later.'",
)


def downgrade() -> None:
    """Forget all keys."""
    op.execute("drop table app.idempotency_keys")
