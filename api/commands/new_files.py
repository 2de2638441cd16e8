"""The files that `partywall new` writes, and what must not be there already: checked before anything is written."""

import ast
import json
import re
import symtable
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import click
from mako.template import Template

from api.commands.new_words import Words

TEMPLATES = Path(__file__).with_name("templates")
CODE = ("__init__", "models", "routes", "list", "examples", "resource")
PLACES = ("api/main.py", "api/openapi.json", "db/schema.py", "migrations/versions", "tests")
NEEDED = ("Column", "DateTime", "ForeignKeyConstraint", "PrimaryKeyConstraint", "Table", "Text", "Uuid", "text")
UNDOCUMENTED = ("/docs", "/metrics", "/openapi.json")


def check_place(root: Path) -> None:
    """Raise ClickException unless this is a checkout."""
    for place in PLACES:
        if not (root / place).exists():
            raise click.ClickException(f"there is no {place} here: run this in a checkout of Partywall")


def plan(root: Path, words: Words) -> Mapping[Path, str]:
    """Return the files to write. Raises ClickException for what exists already: then nothing was written."""
    plural, number = words["plural"], words["revision"].strip('"')
    made = {
        root / "migrations" / "versions" / f"{number}_add_{plural}.py": render("migration", words),
        **{root / "api" / plural / f"{name}.py": render(name, words) for name in CODE},
        root / "tests" / plural / "__init__.py": "",
        root / "tests" / plural / f"test_{plural}.py": render("test", words),
    }
    schema, main = root / "db" / "schema.py", root / "api" / "main.py"
    folders = [folder for folder in (root / "api" / plural, root / "tests" / plural) if folder.exists()]
    if exists := [*folders, *(file for file in made if file.exists())]:
        raise _exists(str(exists[0].relative_to(root)))
    if re.search(rf'^    "{plural}",$', schema.read_text(), re.MULTILINE):
        raise click.ClickException(f"db/schema.py has a table {plural} already: nothing was written")
    check_document(json.loads((root / "api" / "openapi.json").read_text()), words)
    for file, text in made.items():
        if names := clashes(text):
            raise click.ClickException(
                f"{file.relative_to(root)} would have two things that are called {min(names)}: choose other names, or "
                "another --singular; nothing was written"
            )
    return made | {schema: with_table(schema.read_text(), words), main: with_resource(main.read_text(), words)}


def check_document(document: Mapping[str, Mapping[str, Iterable[str]]], words: Words) -> None:
    """Raise ClickException if the API has the path, or a model of that name."""
    path, name = words["collection"], words["Singular"]
    if any(each == path or each.startswith(f"{path}/") for each in (*document["paths"], *UNDOCUMENTED)):
        raise _exists(f"path {path}")
    models = {name, *(f"{name}{kind}" for kind in ("Create", "Replace", "Update", "Page"))}
    if taken := models & {*dict(document["components"])["schemas"]}:
        raise click.ClickException(
            f"there is a model {min(taken)} in the API already: say another --singular; nothing was written"
        )


def _exists(what: str) -> click.ClickException:
    return click.ClickException(f"there is {'an' if what[0] in 'aeiou' else 'a'} {what} already: nothing was written")


def clashes(module: str) -> set[str]:
    """Return the names that stand for two things in a module: both imported and defined, or hidden where it is used."""
    try:
        top = symtable.symtable(module, "", "exec")
    except SyntaxError as error:
        return {*re.findall(r"argument '(\w+)'", error.msg)}  # a function has two of them
    nodes = [node for node in ast.parse(module).body if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = [each.asname or each.name for node in nodes for each in node.names]
    defined = {each.get_name() for each in top.get_symbols() if each.is_assigned()}
    twice = {name for name in imported if imported.count(name) > 1 or name in defined}
    for scope in top.get_children():
        for symbol in scope.get_symbols():
            if _hides(symbol, scope.get_type(), imported, defined | {*imported}):
                twice.add(symbol.get_name())
    return twice


def _hides(symbol: symtable.Symbol, scope: str, imported: Container[str], names: Container[str]) -> bool:
    """Return whether a field hides a name that its class needs, or a variable one of its module or a parameter.

    A parameter may have the name of a function: of a fixture.
    """
    name = symbol.get_name()
    if scope == "class":
        return symbol.is_assigned() and symbol.is_referenced()
    if symbol.is_assigned():
        return name in names or symbol.is_parameter()
    return symbol.is_parameter() and name in imported


def render(template: str, words: Words) -> str:
    """Return a template, filled in. SQL with long names gets another line: in a string, ruff format leaves it."""
    text: str = Template(filename=str(TEMPLATES / f"{template}.mako")).render(**words)  # noqa: S702 - Python, not HTML
    return re.sub(r"^(?=.{121})(.*) (on app\.|check \()", r"\1\n\2", text, flags=re.MULTILINE)


def with_table(schema: str, words: Words) -> str:
    """Return db/schema.py with the table, and with what it imports."""
    block = re.search(r"from sqlalchemy import \((.*?)\)", schema, re.DOTALL)
    if block is None:
        raise click.ClickException("db/schema.py does not import SQLAlchemy's types in one block: nothing was written")
    types = {field.sqlalchemy.partition("(")[0] for field in words["fields"]}
    names = {*re.findall(r"\w+", block[1]), *types, *NEEDED}
    listed = "".join(f"    {name},\n" for name in sorted(names, key=lambda name: (name.islower(), name)))
    return schema.replace(block[0], f"from sqlalchemy import (\n{listed})") + render("schema", words)


def with_resource(main: str, words: Words) -> str:
    """Return api/main.py with the resource in its list, the last one before the health checks."""
    changed, found = re.subn(r"(,\s+)(HEALTH,?\s*\))", rf"\1{words['PLURAL']}\1\2", main, count=1)
    if not found:
        raise click.ClickException("api/main.py has no list RESOURCES = (…, HEALTH): nothing was written")
    line = "from api.observability.logs"
    return changed.replace(line, f"from api.{words['plural']}.resource import {words['PLURAL']}\n{line}", 1)
