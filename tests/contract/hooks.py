"""What Schemathesis is told about this API beyond its document; alice.toml and nobody.toml name this file."""

import os
from typing import Any

import schemathesis

Case = schemathesis.Case[Any]

# What is refused though the document allows it: alice.toml says why.
BEYOND_A_SCHEMA = {"GET /tasks": "cursor", "POST /tasks": "Idempotency-Key", "PATCH /tasks": "#"}


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Send an ETag where Schemathesis takes 0 for one: its coverage phase makes headers of letters and digits only."""
    refused = case.meta and getattr(case.meta.phase.data, "parameter", None)
    if case.headers.get("If-Match") == "0" and refused != "If-Match":
        case.headers["If-Match"] = "*"


@schemathesis.check
def refused_for_what_a_schema_cannot_say(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: Case
) -> None:
    """Say 422 to nobody but for no JSON, and to what the document allows for one reason only."""
    if response.status_code == 422 and case.meta:
        places = [error.get("parameter") or error.get("pointer") for error in response.json()["errors"]]
        if "CONTRACT_TOKENS" not in os.environ:
            assert places == ["#"], places
        elif case.meta.generation.mode.is_positive:
            assert places == [BEYOND_A_SCHEMA.get(case.operation.label)], places
