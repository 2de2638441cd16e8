"""`partywall psql`: psql on the development database."""

import os
from pathlib import Path

import click

from api.commands.options import data_dir_option, line_to_paste
from db.embedded import Cluster, binary
from db.libpq.url import LIBPQ

# app_owner does not log in: the login that may become it does.
LOGINS = {
    "app_api": ("app_api", None),
    "app_auditor": ("app_auditor", None),
    "app_owner": ("app_migrator", "app_owner"),
    "postgres": ("postgres", None),
}


@click.command()
@click.option("--role", type=click.Choice(sorted(LOGINS)), default="postgres", show_default=True)
@data_dir_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(role: str, data_dir: Path, arguments: tuple[str, ...]) -> None:
    """Open psql on the development database as ROLE. ARGUMENTS after -- go to psql."""
    cluster = Cluster(data_dir)
    if not cluster.is_running:
        raise click.ClickException(f"no database runs in {data_dir}: start it with {line_to_paste(data_dir, 'dev')}")
    login, become = LOGINS[role]
    # A superuser too: what others created in public could hide PostgreSQL's own functions.
    options = "-c search_path=" + (f" -c role={become}" if become else "")
    # PGHOSTADDR, PGSERVICE and the like are of other databases.
    environment = {name: value for name, value in os.environ.items() if name not in LIBPQ.values()}
    environment["PGOPTIONS"] = options
    program = binary("psql")
    os.execve(program, [program, cluster.url(login), *arguments], environment)  # noqa: S606
