"""Compares the rows that are in the database with those that were acknowledged."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.soak.ledger import Ledger, State

# As the superuser sees them, hence all. A workspace's ETag has the role of whoever reads it: here, who created it.
ROWS = """
select user_id, id::text, to_json(updated_at)::text, json_build_object(
    'text', text, 'completed', completed, 'order', "order"), text
from app.tasks
union all
select workspace_id::text, id::text, to_json(updated_at)::text, json_build_object(
    'text', text, 'completed', completed, 'order', "order"), text
from app.workspace_tasks
union all
select workspace_id::text, workspace_id || '/' || user_id, to_json(updated_at)::text,
    json_build_object('role', role), workspace_id || '/' || user_id
from app.members
union all
select w.workspace_id::text, w.workspace_id::text,
    to_json(greatest(w.updated_at, min(m.updated_at) filter (where m.role = 'owner')))::text,
    json_build_object('name', w.name), w.name
from app.workspaces as w left join app.members as m using (workspace_id)
group by w.workspace_id
"""


@dataclass
class Comparison:
    """How many rows there are, and why they may be."""

    acknowledged: int = 0  # rows that have to be there
    found: int = 0  # of those
    doubtful: int = 0  # rows of which it is unknown if they were created, or deleted
    doubtful_found: int = 0  # of those


def compare(ledger: Ledger, rows: Iterable[tuple[Any, ...]]) -> Comparison:
    """Return what was found among `rows`, as ROWS returns them; what is wrong goes to the ledger's tally."""
    doubtful = [row for row in ledger.rows.values() if row.may_be_gone]
    result = Comparison(len(ledger.rows) - len(doubtful), doubtful=len(doubtful) + len(ledger.creations))
    missing = dict(ledger.rows)
    creations = dict(ledger.creations)
    for tenant, row_id, etag, state, identity in rows:
        if (row := missing.pop(row_id, None)) and row.tenant == tenant:
            ledger.see(row, etag, state, row.etag, "")
            result.found += not row.may_be_gone
            result.doubtful_found += row.may_be_gone
        elif creations.pop(identity, None):
            result.doubtful_found += 1
        else:
            _unexpected(ledger, tenant, row_id, state, identity)
    for row in missing.values():
        if not row.may_be_gone:
            sentence = f"row {row.id} of {row.tenant} is lost: {dict(row.state)} {row.etag}"
            ledger.tally.violation("rows", sentence)
    return result


def _unexpected(ledger: Ledger, tenant: str, row_id: str, state: State, identity: str) -> None:
    why = "nobody was told of it"
    if row_id in ledger.gone:
        why = "its deletion was acknowledged"
    elif row := ledger.rows.get(row_id):
        why = f"it was found twice, or is of {row.tenant}"
    elif identity in ledger.refused:
        why = "its creation failed"
    request_id = ledger.refused.get(identity, "")
    ledger.tally.violation("rows", f"row {row_id} of {tenant} is there, but {why}: {dict(state)}", request_id)
