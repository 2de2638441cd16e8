"""What Schemathesis is told about this API beyond its document; alice.toml and nobody.toml name this file."""

import os
from typing import Any

import schemathesis

Case = schemathesis.Case[Any]

# What a schema cannot say: that a cursor is one that the list returned, that a key comes with the same body as before,
# or (where the place is the whole body) that each id of a list is there once.
BEYOND_A_SCHEMA = {"cursor", "Idempotency-Key"}
IDS_IN_A_LIST = {"PATCH /tasks", "PATCH /workspaces/{workspace_id}/tasks"}
ACCEPT = "POST /invitations/accept"
OF_MEMBERS = {f"{method} /workspaces/{{workspace_id}}/members/{{user_id}}" for method in ("PATCH", "DELETE")}


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Send an ETag where Schemathesis takes 0 for one: its coverage phase makes headers of letters and digits only."""
    refused = case.meta and getattr(case.meta.phase.data, "parameter", None)
    for name, accepted in {"If-Match": "*", "If-None-Match": '"0"'}.items():
        if case.headers.get(name) == "0" and refused != name:
            case.headers[name] = accepted


@schemathesis.check
def refused_for_what_a_schema_cannot_say(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: Case
) -> None:
    """Allow a 422 to what the document allows for one reason only, and to a caller without a token never."""
    if response.status_code == 422 and case.meta:
        places = [error.get("parameter") or error.get("pointer") for error in response.json()["errors"]]
        assert "CONTRACT_TOKENS" in os.environ, places
        if case.meta.generation.mode.is_positive:
            [place] = places
            assert place in BEYOND_A_SCHEMA or (place == "#" and case.operation.label in IDS_IN_A_LIST), places


@schemathesis.check
def conflicts_only_about_members_and_attempts_only_with_tokens(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: Case
) -> None:
    """Allow a 409 to what the last owner does and to an invitation of oneself, and a 429 to many invitations."""
    if response.status_code == 409:
        assert case.operation.label in {*OF_MEMBERS, ACCEPT}
    if response.status_code == 429:
        assert case.operation.label == ACCEPT


@schemathesis.check
def conflicts_only_with_an_etag(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: Case
) -> None:
    """Allow a 412 only to a request with an ETag, which was made up."""
    if response.status_code == 412:
        assert {"If-Match", "If-None-Match"} & {*case.headers}
