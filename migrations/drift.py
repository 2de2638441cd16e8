"""How a database and db/schema.py differ, as the SQL of both sides: what `alembic check` prints.

Compared are tables, columns (type, null, default), indexes, unique and foreign keys. Primary keys, checks, policies,
grants, triggers and functions are not: db/schema.sql shows them.
"""

from collections.abc import Iterator
from textwrap import indent

from alembic.operations import ops
from sqlalchemy import Column
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import AddConstraint, CreateColumn, CreateIndex, CreateTable
from sqlalchemy.sql.ddl import BaseDDLElement

BLOCK = """\
{name}
  the database has
{database}
  db/schema.py says
{schema}"""
NOTHING = "    nothing"

DROPS = (ops.DropTableOp, ops.DropColumnOp, ops.DropIndexOp, ops.DropConstraintOp)


def differences(upgrade: ops.OpContainer, dialect: Dialect) -> list[str]:
    """Return a block of text for each object that `upgrade`, what Alembic would do to the database, is about."""
    blocks: dict[str, dict[str, str]] = {}
    for name, side, ddl in _find(upgrade):
        # An index that changed is dropped and created: one block for both.
        block = blocks.setdefault(name, {"database": NOTHING, "schema": NOTHING})
        sql = str(ddl.compile(dialect=dialect)).strip()
        block[side] = indent(sql.replace("\t", "    ").replace(" \n", "\n"), "    ")
    return [BLOCK.format(name=name, **block) for name, block in blocks.items()]


def _find(container: ops.OpContainer) -> Iterator[tuple[str, str, BaseDDLElement]]:
    """Return each object's name, the side that has it, and its DDL there."""
    for op in container.ops:
        if isinstance(op, ops.OpContainer):
            yield from _find(op)
        elif isinstance(op, ops.AlterColumnOp):
            yield _column_name(op), "database", _existing_column(op)
            yield _column_name(op), "schema", _existing_column(op.reverse())
        elif isinstance(op, DROPS):
            name, ddl = _describe(op.reverse())
            yield name, "database", ddl
        else:
            name, ddl = _describe(op)
            yield name, "schema", ddl


def _describe(op: ops.MigrateOperation) -> tuple[str, BaseDDLElement]:
    match op:
        case ops.CreateTableOp():
            return f"table {op.schema}.{op.table_name}", CreateTable(op.to_table())
        case ops.AddColumnOp():
            return _column_name(op), CreateColumn(op.column)
        case ops.CreateIndexOp():
            return f"index {op.schema}.{op.index_name}", CreateIndex(op.to_index())
        case ops.AddConstraintOp():
            constraint = op.to_constraint()
            return f"constraint {constraint.name} on {constraint.table.fullname}", AddConstraint(constraint)
        case _:
            raise TypeError(op)


def _column_name(op: ops.AddColumnOp | ops.AlterColumnOp) -> str:
    name = op.column.name if isinstance(op, ops.AddColumnOp) else op.column_name
    return f"column {op.schema}.{op.table_name}.{name}"


def _existing_column(op: ops.AlterColumnOp) -> CreateColumn:
    null, default = op.existing_nullable is not False, op.existing_server_default or None
    return CreateColumn(Column(op.column_name, op.existing_type, nullable=null, server_default=default))
