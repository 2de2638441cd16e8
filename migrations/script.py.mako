<%! literal = lambda value: repr(value).replace("'", '"') %>\
"""${message[:1].upper()}${message[1:].rstrip(".")}."""

from alembic import op

revision = ${literal(up_revision)}
down_revision = ${literal(down_revision)}
branch_labels = ${literal(branch_labels)}
depends_on = ${literal(depends_on)}


def upgrade() -> None:
    """State what the change is for; prose about objects goes into `comment on`."""
    op.execute(r"""
create table, comments, indexes, row-level security on and forced, policies, grants that name their columns""")


def downgrade() -> None:
    """Undo all of it."""
    op.execute(r"""
drop table""")
