"""`partywall new`: a resource of your own, from the table to the tests. What it writes is yours to change."""

import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from mako.template import Template

from api.commands.new_fields import TYPES, Field, check_name, in_singular, read_field
from db.revision import BrokenChainError, read_migrations

TEMPLATES = Path(__file__).with_name("templates")
SHORT = 60  # characters of a list of columns that stay in the line
CODE = ("__init__", "models", "routes", "list", "examples", "resource")


@click.command()
@click.argument("resource")
@click.argument("fields", nargs=-1, required=True, metavar="FIELD:TYPE...")
@click.option("--singular", help="What one of them is called, if it is not RESOURCE without its s.")
def new(resource: str, fields: tuple[str, ...], singular: str | None) -> None:
    """Write a resource that users own: a migration, a folder in api/, tests.

    RESOURCE is the table's name and the path, in the plural: notes. TYPE is one of text, integer, boolean,
    timestamptz, date and uuid; a ? behind it makes the field optional. Run it in the checkout:

        partywall new notes title:text 'body:text?' 'due_at:timestamptz?'
    """
    root = Path.cwd()
    check_name("RESOURCE", resource)
    one = check_name("--singular", in_singular(resource) if singular is None else singular)
    words = context(root, resource, one, [read_field(each) for each in fields])
    files = plan(root, resource, words)
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


def context(root: Path, plural: str, singular: str, fields: Sequence[Field]) -> Mapping[str, Any]:
    """Return what the templates are filled with. Raises BadParameter, ClickException."""
    names = [field.name for field in fields]
    if twice := {name for name in names if names.count(name) > 1}:
        raise click.BadParameter(f"a field is named twice: {', '.join(sorted(twice))}")
    if singular == plural:
        raise click.BadParameter(f"RESOURCE and the singular are the same, {plural!r}: say another --singular")
    for place in ("api/main.py", "db/schema.py", "migrations/versions", "tests"):
        if not (root / place).exists():
            raise click.ClickException(f"there is no {place} here: run this in a checkout of Partywall")
    try:
        migrations = read_migrations(root / "migrations" / "versions")
    except BrokenChainError as error:
        raise click.ClickException(str(error)) from error
    numbers = [int(revision) for revision in migrations.revisions if revision.isdecimal()]
    human = singular.replace("_", " ")
    types = {field.python.removesuffix(" | None") for field in fields} - {"bool"} | {"Timestamp", "absent"}
    return {
        "plural": plural,
        "Plural": plural.replace("_", " ").capitalize(),
        "PLURAL": plural.upper(),
        "singular": singular,
        "Singular": "".join(word.capitalize() for word in singular.split("_")),
        "SINGULAR": singular.upper(),
        "human": human,
        "human_plural": plural.replace("_", " "),
        "a": "an" if human[0] in "aeiou" else "a",
        "A": "An" if human[0] in "aeiou" else "A",
        "fields": fields,
        "texts": [field for field in fields if field.type == "text"],
        "optional": [field for field in fields if field.optional],
        "required": [field for field in fields if not field.optional],
        "columns": partial(listed, [field.column for field in fields]),
        "assignments": assignments(fields),
        "types": sorted(types, key=lambda name: (name.islower(), name)),
        "example": {field.name: TYPES[field.type].values[0] for field in fields},
        "other": {field.name: TYPES[field.type].values[1] for field in fields},
        "revision": f'"{max(numbers, default=0) + 1:04}"',
        "down_revision": f'"{migrations.head}"',
    }


def listed(columns: Sequence[str], indent: int) -> str:
    """Return columns as they stand between parentheses: in lines of their own if one line is too short."""
    text = ", ".join(columns)
    if len(text) <= SHORT:
        return text
    inner = " " * (indent + 4)
    return f"\n{textwrap.fill(text, 100, initial_indent=inner, subsequent_indent=inner)}\n{' ' * indent}"


def assignments(fields: Sequence[Field]) -> list[str]:
    """Return the lines of an update's `set`: null stands for a field that was not sent, unless it may be null."""
    lines, number = [], 5  # after the tenant, the id and two lists of ETags
    for field in fields:
        if field.optional:
            lines.append(f"{field.column} = case when ${number} then ${number + 1} else t.{field.column} end")
        else:
            lines.append(f"{field.column} = coalesce(${number}, t.{field.column})")
        number += 2 if field.optional else 1
    return [*(f"{line}," for line in lines[:-1]), lines[-1]]


def plan(root: Path, plural: str, words: Mapping[str, Any]) -> Mapping[Path, str]:
    """Return the files to write. Raises ClickException for what exists already: then nothing was written."""
    number = words["revision"].strip('"')
    made = {
        root / "migrations" / "versions" / f"{number}_add_{plural}.py": render("migration", words),
        **{root / "api" / plural / f"{name}.py": render(name, words) for name in CODE},
        root / "tests" / plural / "__init__.py": "",
        root / "tests" / plural / f"test_{plural}.py": render("test", words),
    }
    schema, main = root / "db" / "schema.py", root / "api" / "main.py"
    folders = [folder for folder in (root / "api" / plural, root / "tests" / plural) if folder.exists()]
    if exists := [*folders, *(file for file in made if file.exists())]:
        raise click.ClickException(f"there is a {exists[0].relative_to(root)} already: nothing was written")
    if re.search(rf'^    "{plural}",$', schema.read_text(), re.MULTILINE):
        raise click.ClickException(f"db/schema.py has a table {plural} already: nothing was written")
    return made | {schema: with_table(schema.read_text(), words), main: with_resource(main.read_text(), words)}


def render(template: str, words: Mapping[str, Any]) -> str:
    """Return a template, filled in."""
    text: str = Template(filename=str(TEMPLATES / f"{template}.mako")).render(**words)  # noqa: S702 - Python, not HTML
    return text


def with_table(schema: str, words: Mapping[str, Any]) -> str:
    """Return db/schema.py with the table, and with what it imports."""
    block = re.search(r"from sqlalchemy import \((.*?)\)", schema, re.DOTALL)
    if block is None:
        raise click.ClickException("db/schema.py does not import SQLAlchemy's types in one block: nothing was written")
    types = {field.sqlalchemy.partition("(")[0] for field in words["fields"]}
    names = {*re.findall(r"\w+", block[1]), *types, "Text", "Uuid", "DateTime", "Table", "PrimaryKeyConstraint"}
    listed = "".join(f"    {name},\n" for name in sorted(names, key=lambda name: (name.islower(), name)))
    return schema.replace(block[0], f"from sqlalchemy import (\n{listed})") + render("schema", words)


def with_resource(main: str, words: Mapping[str, Any]) -> str:
    """Return api/main.py with the resource in its list, the last one before the health checks."""
    changed = main.replace(", HEALTH)", f", {words['PLURAL']}, HEALTH)", 1)
    if changed == main:
        raise click.ClickException("api/main.py has no list RESOURCES = (…, HEALTH): nothing was written")
    line = "from api.observability.logs"
    return changed.replace(line, f"from api.{words['plural']}.resource import {words['PLURAL']}\n{line}", 1)


def run(root: Path, module: str, *arguments: str) -> str:
    """Return what a Python program prints. Raises ClickException with what it said if it fails."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = textwrap.indent(done.stderr.strip() or done.stdout.strip(), "    ")
        raise click.ClickException(f"the files are written, but {module} {arguments[0]} failed:\n{said}")
    return done.stdout
