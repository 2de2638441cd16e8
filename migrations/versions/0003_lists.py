"""Lists in every order, with and without a filter, each one range of an index."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what the filtered lists need. The unfiltered ones have tasks_by_order and the primary key."""
    # Not concurrently: no release came before this one, so nobody writes to the table meanwhile.
    op.execute("""
-- squawk-ignore require-concurrent-index-creation
create index tasks_by_completed_order on app.tasks (user_id, completed, "order", id)""")
    op.execute("""
-- squawk-ignore require-concurrent-index-creation
create index tasks_by_completed_age on app.tasks (user_id, completed, id)""")
    op.execute("""
comment on index app.tasks_by_completed_order is 'Serves the list of what is done, or is not, in order.'""")
    op.execute("""
comment on index app.tasks_by_completed_age is
    'Serves the list of what is done, or is not, by age: ids are made at creation and sort by time.'""")


def downgrade() -> None:
    """Drop them."""
    op.execute("drop index app.tasks_by_completed_order")
    op.execute("drop index app.tasks_by_completed_age")
