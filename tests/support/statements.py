"""The statements that the API sends, as they are or without their tenant: the policies have to isolate alone.

Every statement names its tenant, so that a cluster can route it. That is for speed: a statement that forgets it must
not show or change a row of another tenant. So the tests of resources run twice, and a statement that forgets it is red.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from db.session import Transaction

TENANT = re.compile(r"(?:\b\w+\.)?\b(user_id|workspace_id) = \$1(?!\d)")
TYPES = {"user_id": "text", "workspace_id": "uuid"}
# An insert needs none: its tenant is the column's default.
TABLE = re.compile(r"\b(?:from|join|update|using)\s+app\.\w+\b(?!\()", re.IGNORECASE)

WITHOUT_TENANT = "without their tenant"
STATEMENTS = ("as they are", WITHOUT_TENANT)

Method = Callable[..., Awaitable[Any]]


def record_statements(monkeypatch: pytest.MonkeyPatch, *, without_tenant: bool) -> set[str]:
    """Return a set to which each statement is added as the API wrote it, from now on."""
    statements: set[str] = set()

    def recording(method: Method) -> Method:
        async def run(transaction: Transaction, query: str, *arguments: object) -> Any:
            statements.add(query)
            sent = TENANT.sub(lambda found: f"$1::{TYPES[found[1]]} is not null", query) if without_tenant else query
            return await method(transaction, sent, *arguments)

        return run

    for name in ("fetch", "fetchval"):
        monkeypatch.setattr(Transaction, name, recording(getattr(Transaction, name)))
    return statements


def without_a_tenant(statements: set[str]) -> list[str]:
    """Return the statements that read, change or delete rows of a table without naming their tenant."""
    return [each for each in statements if len(TENANT.findall(each)) < len(TABLE.findall(each))]
