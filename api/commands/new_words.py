"""What the templates of `partywall new` are filled with."""

import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from api.commands.new_fields import TYPES, Field, check_constraints
from db.revision import BrokenChainError, read_migrations

SHORT = 60  # characters of a list of columns that stay in the line
Words = Mapping[str, Any]


def words_of(root: Path, plural: str, singular: str, fields: Sequence[Field], *, shared: bool) -> Words:
    """Return what the templates are filled with. Raises BadParameter, ClickException."""
    names = [field.name for field in fields]
    if twice := {name for name in names if names.count(name) > 1}:
        raise click.BadParameter(f"a field is named twice: {', '.join(sorted(twice))}")
    if singular == plural:
        raise click.BadParameter(f"RESOURCE and the singular are the same, {plural!r}: say another --singular")
    check_constraints(plural, fields)
    tenant = _of_a_workspace(plural) if shared else _of_a_user(plural)
    return _names(plural, singular) | _columns(fields) | _revisions(root) | tenant


def _names(plural: str, singular: str) -> dict[str, Any]:
    human = singular.replace("_", " ")
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
    }


def _columns(fields: Sequence[Field]) -> dict[str, Any]:
    types = {field.python.removesuffix(" | None") for field in fields} - {"bool"} | {"Timestamp", "absent"}
    return {
        "fields": fields,
        "texts": [field for field in fields if field.type == "text"],
        "optional": [field for field in fields if field.optional],
        "required": [field for field in fields if not field.optional],
        "columns": partial(listed, [field.column for field in fields]),
        "assignments": assignments(fields),
        "types": sorted(types, key=lambda name: (name.islower(), name)),
        "example": {field.name: TYPES[field.type].values[0] for field in fields},
        "other": {field.name: TYPES[field.type].values[1] for field in fields},
    }


def _revisions(root: Path) -> dict[str, Any]:
    try:
        migrations = read_migrations(root / "migrations" / "versions")
    except BrokenChainError as error:
        raise click.ClickException(str(error)) from error
    numbers = [int(revision) for revision in migrations.revisions if revision.isdecimal()]
    return {"revision": f'"{max(numbers, default=0) + 1:04}"', "down_revision": f'"{migrations.head}"'}


def _of_a_user(plural: str) -> dict[str, Any]:
    """Return what is said of rows that belong to a user."""
    return {
        "shared": False,
        "tenant": "user_id",
        "of_workspace": "",
        "collection": f"/{plural}",
        # in the routes
        "Session": "CallerSession",
        "new_router": "new_router",
        "path": f'"/{plural}"',
        "needs_role": "",
        "as_reader": "",
        "as_writer": "",
        # in the tests: the path, what a test is given to have it, and what it passes on
        "at": f'"/{plural}"',
        "given": "",
        "pass_on": "",
    }


def _of_a_workspace(plural: str) -> dict[str, Any]:
    """Return the same of rows that belong to a workspace."""
    return {
        "shared": True,
        "tenant": "workspace_id",
        "of_workspace": " of a workspace",
        "collection": f"/workspaces/{{workspace_id}}/{plural}",
        "Session": "WorkspaceSession",
        "new_router": "in_workspace",
        "path": f'f"/workspaces/{{db.workspace_id}}/{plural}"',
        "needs_role": " | NEEDS_ROLE",
        "as_reader": "\n\n    As a member of the workspace.\n    ",
        "as_writer": "\n\n    As an editor or an owner of the workspace.\n    ",
        "at": "collection",
        "given": ", collection: str",
        "pass_on": ", collection",
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
