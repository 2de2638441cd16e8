"""Members of app_owner may have a hidden row explained."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let app_owner see rows while audit.explain_access() runs, and only for a login that is its member."""
    # session_user, not current_user: app_api could set the setting and call a function that runs as app_owner.
    op.execute("""
create policy tasks_are_explained_by_their_owner on app.tasks
for select to app_owner
using (current_setting('audit.explaining', true) = 'on' and pg_has_role(session_user, 'app_owner', 'member'))""")
    op.execute("""
comment on policy tasks_are_explained_by_their_owner on app.tasks is
    'audit.explain_access() looks up the row that it explains. Nothing else opens this: not app_owner''s own queries,
and not a function that app_api calls and that runs as app_owner.'""")


def downgrade() -> None:
    """Drop the policy: only superusers have rows explained then."""
    op.execute("drop policy tasks_are_explained_by_their_owner on app.tasks")
