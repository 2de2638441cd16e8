"""Makes the file of a new revision: `alembic revision` and `alembic merge`, neither of which needs a database."""

import io
import re

from alembic import command, context
from alembic.operations.ops import MigrationScript
from alembic.util import CommandError


def is_wanted() -> bool:
    """Return whether the alembic command is `revision` or `merge`, which need no database."""
    return getattr(context.config.cmd_opts, "cmd", [None])[0] in {command.revision, command.merge}


def make() -> None:
    """Let Alembic make the file of a new revision, numbered if it can be."""
    if getattr(context.config.cmd_opts, "autogenerate", False):
        raise CommandError("migrations are SQL, written by hand: without --autogenerate")
    context.configure(
        dialect_name="postgresql", as_sql=True, output_buffer=io.StringIO(), process_revision_directives=give_number
    )
    context.run_migrations()


def give_number(_context: object, _revision: object, scripts: list[MigrationScript]) -> None:
    """Give a new revision the next number as its id. One that has an id keeps it; hashes are followed by a hash."""
    (script,) = scripts
    if not script.message:
        raise CommandError('say what the revision is for: alembic revision -m "add notes"')
    ids = [revision.revision for revision in context.script.walk_revisions()]
    followed = context.script.get_revisions(script.head or "head")
    if not getattr(context.config.cmd_opts, "rev_id", None) and all(is_number(one.revision) for one in followed):
        script.rev_id = f"{max((int(id_) for id_ in ids if is_number(id_)), default=0) + 1:04}"


def is_number(revision: str) -> bool:
    """Return whether a revision's id is a number as we give them: 0001."""
    return re.fullmatch(r"[0-9]{4}", revision) is not None
