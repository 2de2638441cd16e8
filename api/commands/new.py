"""`partywall new`: a resource of your own, from the table to the tests. What it writes is yours to change."""

import subprocess
import sys
import textwrap
from pathlib import Path

import click

from api.commands.new_fields import check_name, in_singular, read_field
from api.commands.new_files import check_place, plan
from api.commands.new_words import words_of


@click.command()
@click.argument("resource")
@click.argument("fields", nargs=-1, required=True, metavar="FIELD:TYPE...")
@click.option("--workspace", is_flag=True, help="The members of a workspace share it; else it belongs to a user.")
@click.option("--singular", help="What one of them is called, if it is not RESOURCE without its s.")
def new(resource: str, fields: tuple[str, ...], singular: str | None, *, workspace: bool) -> None:
    """Write a resource: a migration, a folder in api/, tests.

    RESOURCE is the table's name and the end of the path, in the plural: notes. TYPE is one of text, integer, boolean,
    timestamptz, date and uuid; a ? behind it makes the field optional. Run it in the checkout:

        partywall new notes title:text 'body:text?' 'due_at:timestamptz?'
    """
    root = Path.cwd()
    check_name("RESOURCE", resource)
    one = check_name("--singular", in_singular(resource) if singular is None else singular)
    read = [read_field(each, shared=workspace) for each in fields]
    check_place(root)
    words = words_of(root, resource, one, read, shared=workspace)
    files = plan(root, words)
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    ours = sorted(str(file.relative_to(root)) for file in files if file.suffix == ".py")
    run(root, "ruff", "check", "--quiet", "--fix", "--select=I", *ours)
    run(root, "ruff", "format", "--quiet", *ours)
    run(root, "migrations.dump", "db/schema.sql")
    (root / "api" / "openapi.json").write_text(run(root, "api", "openapi"))
    for name in [*ours, "db/schema.sql", "db/audit/schema/manifest.sql", "api/openapi.json"]:
        click.echo(name)
    click.echo("Read it, make it yours, then: make test lint. What each file is for: docs/growing.md")
    click.echo(f"`make dev`, started again, migrates its database and serves {words['collection']}")


def run(root: Path, module: str, *arguments: str) -> str:
    """Return what a Python program prints. Raises ClickException with what it said if it fails."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = textwrap.indent(done.stderr.strip() or done.stdout.strip(), "    ")
        raise click.ClickException(f"the files are written, but {module} {arguments[0]} failed:\n{said}")
    return done.stdout
