"""What was acknowledged, what was not, and what is unknown: the rows that have to be there.

A row here is a task, a workspace or a membership. Each write is noted before it is sent. Its response settles it; if
there is none, the write stays open, and may have happened or not.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.soak.client import Reply
from benchmarks.soak.tally import Tally

State = Mapping[str, object]  # the fields that a write can set


@dataclass(slots=True, eq=False)
class Row:
    """A row as acknowledged writes have left it. ETags are timestamps, and sort as texts."""

    tenant: str
    id: str
    etag: str
    state: State
    open: list[State] = field(default_factory=list)  # writes that may have happened: the fields that they set
    may_be_gone: bool = False
    replaced: set[str] = field(default_factory=set)  # ETags that an acknowledged write has named in If-Match

    @property
    def is_settled(self) -> bool:
        """Whether it is known how it is."""
        return not self.open and not self.may_be_gone

    def explains(self, state: State) -> bool:
        """Return whether each field is as acknowledged, or as an open write sets it."""
        return all(
            value == self.state[name] or any(write.get(name, self) == value for write in self.open)
            for name, value in state.items()
        )


@dataclass(slots=True)
class Creation:
    """A row that may have been created, and its request."""

    tenant: str
    state: State
    request_id: str = ""


class Ledger:
    """The rows by tenant and id; what is found wrong with a response or a row goes to the tally."""

    def __init__(self, tally: Tally) -> None:
        """Begin with no rows."""
        self.tally = tally
        self.rows: dict[str, Row] = {}
        self.of: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        self.gone: set[str] = set()
        self.creations: dict[str, Creation] = {}  # under way or of unknown outcome, by what identifies the row
        self.refused: dict[str, str] = {}  # creations that failed for certain, and their request
        self.created = 0

    def add(self, tenant: str, row_id: str, etag: str, state: State) -> Row:
        """Note a row whose creation is acknowledged; the same one again if it was acknowledged before."""
        if row_id in self.rows:
            return self.rows[row_id]
        self.created += 1
        row = self.rows[row_id] = self.of[tenant][row_id] = Row(tenant, row_id, etag, state)
        return row

    def remove(self, row: Row) -> None:
        """Note that a row is gone."""
        self.rows.pop(row.id, None)
        self.of[row.tenant].pop(row.id, None)
        self.gone.add(row.id)

    def remove_tenant(self, tenant: str, *, is_unknown: bool = False) -> None:
        """Note that a workspace is gone with all that is in it, or may be."""
        for row in [*self.of[tenant].values()]:
            if is_unknown:
                row.may_be_gone = True
            else:
                self.remove(row)

    def see(self, row: Row, etag: str, state: State, since: str, where: str) -> None:
        """Note a version that was read; `since` is the ETag that was known when the request was sent."""
        wrong = ""
        if etag < since:
            wrong = f"an older version than the acknowledged {since}"
        elif etag == row.etag and state != row.state:
            wrong = f"the ETag of {dict(row.state)}"
        elif etag > row.etag:
            if not row.explains(state):
                wrong = f"a state that nobody wrote after {dict(row.state)} of {row.etag}"
            row.etag, row.state = etag, state
        if wrong:
            self.tally.violation("rows", f"row {row.id} of {row.tenant} has {wrong}: {dict(state)} {etag}", where)

    def wrote(self, row: Row, reply: Reply, write: State, state: State, since: str, if_match: str = "") -> None:
        """Note an acknowledged write of `row`, after which it has `state` and the ETag of the reply."""
        etag = reply.etag
        if if_match and (if_match in row.replaced or etag <= if_match):
            self.tally.violation(
                "rows", f"a lost update: If-Match {if_match} was fulfilled twice for row {row.id}", reply.request_id
            )
        if etag == since:
            self.tally.violation("rows", f"two versions of row {row.id} have the ETag {etag}", reply.request_id)
        if any(state[name] != value for name, value in write.items()):
            self.tally.violation("rows", f"{dict(write)} was acknowledged for {dict(state)}", reply.request_id)
        row.replaced.add(if_match)
        self.see(row, etag, state, since, reply.request_id)
