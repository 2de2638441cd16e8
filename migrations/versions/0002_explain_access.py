"""Members of app_owner may have a hidden row explained."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let app_owner look up the row that audit.explain_access() explains."""
    # session_user, not current_user: app_api could set the setting and call a function that runs as app_owner.
    op.execute("""
create policy tasks_are_explained_by_their_owner on app.tasks
for select to app_owner
using (current_setting('audit.explaining', true) = 'on' and pg_has_role(session_user, 'app_owner', 'member'))""")
    op.execute("""
comment on policy tasks_are_explained_by_their_owner on app.tasks is
    'audit.explain_access() looks up the row that it explains. For logins that are members of app_owner and could take
the wall down anyway; without the setting the owner''s own statements see nothing, and a function that app_api calls
and that runs as app_owner sees nothing whatever is set.'""")


def downgrade() -> None:
    """Drop the policy: only superusers have rows explained then."""
    op.execute("drop policy tasks_are_explained_by_their_owner on app.tasks")
