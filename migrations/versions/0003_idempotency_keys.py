"""Idempotency keys: a creation that is sent twice happens once."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of the responses to repeat, for any resource, with its policies and grants."""
    op.execute(r"""
create table app.idempotency_keys (
    user_id text not null default app.current_user_id(),
    key text not null,
    fingerprint bytea not null,
    status smallint not null,
    location text,
    etag text,
    body text not null,
    created_at timestamptz not null default now(),
    constraint idempotency_keys_pkey primary key (user_id, key),
    constraint idempotency_keys_user_id_valid
        check (char_length(user_id) between 1 and 255 and user_id !~ '[\x01-\x1f\x7f-\x9f]'),
    constraint idempotency_keys_key_length check (char_length(key) between 1 and 255),
    constraint idempotency_keys_status_is_success check (status between 200 and 299)
)""")
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
    # Not granted: update. A response is never changed, only deleted.
    op.execute("""
grant select, delete, insert (key, fingerprint, status, location, etag, body) on app.idempotency_keys to app_api""")
    for comment in COMMENTS:
        op.execute(f"comment on {comment}")


COMMENTS = (
    """table app.idempotency_keys is
    'The responses to requests with the header Idempotency-Key, kept for 24 hours to be sent again.'""",
    "column app.idempotency_keys.user_id is 'Who sent the key. Another user''s key is another key.'",
    "column app.idempotency_keys.key is 'The key, as the client chose it.'",
    """column app.idempotency_keys.fingerprint is
    'SHA-256 of method, path and body of the request: the key belongs to it alone.'""",
    "column app.idempotency_keys.status is 'The status of the response.'",
    """column app.idempotency_keys.location is
    'Its header Location; null if it had none. No foreign key: the response is repeated even if the row is gone.'""",
    "column app.idempotency_keys.etag is 'Its header ETag; null if it had none.'",
    "column app.idempotency_keys.body is 'Its body: JSON, the row as it was created.'",
    "column app.idempotency_keys.created_at is 'When the key was first used. It expires 24 hours later.'",
    "constraint idempotency_keys_pkey on app.idempotency_keys is 'One response per key and user.'",
    """constraint idempotency_keys_user_id_valid on app.idempotency_keys is
    'What the API accepts as a user id: no control characters.'""",
    "constraint idempotency_keys_key_length on app.idempotency_keys is 'The API checks it first; this holds always.'",
    """constraint idempotency_keys_status_is_success on app.idempotency_keys is
    'A request that failed left nothing behind, and may be sent again with the same key.'""",
    """policy idempotency_keys_belong_to_their_user on app.idempotency_keys is
    'A caller reads, adds and deletes its own keys.'""",
    """policy idempotency_keys_expire on app.idempotency_keys is
    'partywall clean deletes what is older than a day, as app_owner; nothing younger is visible to it.'""",
)


def downgrade() -> None:
    """Delete all keys."""
    op.execute("drop table app.idempotency_keys")
