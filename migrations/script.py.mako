"""${message}."""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """State what the change is for; prose about objects goes into `comment on`."""
    op.execute("""${'"""'})


def downgrade() -> None:
    """Undo all of it."""
    op.execute("""${'"""'})
