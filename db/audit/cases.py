"""What `--prove` tries in a workspace, and who may: every command on its rows, every way to become more than one is.

Who may is what audit.member_rights declares, or is said here. The policies are not asked.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import asyncpg

from db.audit.attempts import NO_CALLER, Try, blind_delete_of_two, blind_move, blind_writes
from db.audit.rows import Column, Rows, Table, literal
from db.audit.workspaces import NAME, RELATIONS, ROLES, Caller, Workspaces, any_hash, invite

Tries = Callable[[Caller], Sequence[Try | str]]
"""What a caller tries; nothing if the attempt makes no sense for that caller."""

NOBODY = frozenset[str]()
_MEMBERS = frozenset(ROLES)
_CALLERS = frozenset(RELATIONS) - {"nobody"}
_NOT_JOINED = frozenset({"former member", "invited", "outsider", "member of another"})


class Rights(NamedTuple):
    """A line of audit.member_rights: the least role that each command needs. None: nobody may."""

    reads: str | None
    lists: str | None
    inserts: str | None
    updates: str | None
    deletes: str | None


class Case(NamedTuple):
    """An attempt on a table or with a function: who may, and what each caller tries."""

    object: str
    attempt: str
    allowed: frozenset[str]
    tries: Tries
    refusals: tuple[type[asyncpg.PostgresError], ...] = ()
    """How it is refused, beside how any statement is."""


def least(role: str | None) -> frozenset[str]:
    """Return the roles that are at least this one."""
    return frozenset(ROLES[ROLES.index(role) :]) if role else frozenset()


class OnTable:
    """The cases of a table."""

    def __init__(self, table: Table, rights: Rights, places: Workspaces, rows: Rows) -> None:
        """Try `table` with the rows that were inserted."""
        self._table, self._rights, self._places, self._rows = table, rights, places, rows
        self._case = partial(_of_all, table.name)
        self._here = f"{table.tenant_column} = {literal(places.here)}"

    def cases(self, constant: Column | None, *, empty: bool) -> Iterator[Case]:
        """Yield all of them. `empty`: there is no row in the workspace that is to have none."""
        yield from self._reading()
        if self._table.name == "app.members":
            yield from on_members(self._places)
        else:
            yield from self._inserting()
            yield from self._changing()
        yield from self._without_a_condition(constant, empty=empty)
        if self._table.name == "app.workspaces":
            refusals = (asyncpg.ForeignKeyViolationError,)  # of a table that keeps workspaces from being deleted
            yield self._case("delete others without a condition", NOBODY, self._deleting_two, refusals)
        if self._table.name == "app.invitations":
            yield from on_invitations(self._places)

    def _reading(self) -> Iterator[Case]:
        name, reads = self._table.name, least(self._rights.reads)
        listed = frozenset({"acting nowhere"} if self._rights.lists else ())
        locked = reads & least(self._rights.updates)
        yield self._case("select", reads | listed, f"select from {name} where {self._here}")
        yield self._case("select rows of other workspaces", NOBODY, self._others)
        yield self._case("select for update", locked, f"select from {name} where {self._here} for update")

    def _others(self, caller: Caller) -> list[str]:
        """Return a query of rows that are not of the workspace that one acts in, nor listed for who acts in none."""
        mine = {caller.workspace} - {NO_CALLER}
        if not mine and self._rights.lists:
            mine = {*self._places.members.get(caller.user, ())}
        those = f"{self._table.tenant_column}::text = any (array[{', '.join(map(literal, mine))}]::text[])"
        return [f"select from {self._table.name} where {those} is not true limit 1"]

    def _inserting(self) -> Iterator[Case]:
        allowed = least(self._rights.inserts)
        row, tenant = self._table.sample(self._rows, self._places.here), str(self._table.tenant_column)

        def inserted(caller: Caller) -> Iterator[Try]:
            # In another workspace it would be a row of that one.
            if caller.workspace in (self._places.here, NO_CALLER) or not self._rights.inserts:
                yield Try("insert", None, self._table.insert(row), row)
            if caller.relation not in allowed:
                planted = {**row, tenant: self._places.here}
                yield Try("insert", None, self._table.insert(planted), planted)

        def elsewhere(caller: Caller) -> Iterator[Try]:
            if caller.workspace == self._places.here:
                planted = {**row, tenant: self._places.there}
                yield Try("insert", None, self._table.insert(planted), planted)

        yield self._case("insert", allowed, lambda caller: [*inserted(caller)])
        yield self._case("insert into another workspace", NOBODY, lambda caller: [*elsewhere(caller)])

    def _changing(self) -> Iterator[Case]:
        name, tenant, reads = self._table.name, str(self._table.tenant_column), least(self._rights.reads)
        updates, deletes = reads & least(self._rights.updates), reads & least(self._rights.deletes)
        moved = f"update {name} set {tenant} = {literal(self._places.there)} where {self._here}"
        merged = f"merge into {name} using (select) as s on {self._here} when matched then delete"
        yield self._case("update", updates, self._table.update(self._here))
        yield self._case("move to another workspace", NOBODY, moved)
        yield self._case("move without a condition", NOBODY, self._moving)
        yield self._case("delete", deletes, f"delete from {name} where {self._here}")
        yield self._case("merge", deletes, merged)

    def _moving(self, caller: Caller) -> list[Try]:
        """Return a move that no policy for SELECT applies to: it is not asked about the new row either."""
        return [blind_move(self._table, None, self._places.there)] if caller.workspace == self._places.here else []

    def _deleting_two(self, caller: Caller) -> list[Try]:
        """Return a delete of two workspaces, of which one may act in one only."""
        return [blind_delete_of_two(self._table, None)] if caller.workspace else []

    def _without_a_condition(self, constant: Column | None, *, empty: bool) -> Iterator[Case]:
        """Yield the writes that no policy for SELECT applies to.

        An UPDATE or a DELETE reaches what the workspace has that the caller acts in. MERGE fails at the first row of
        the table that the caller may not delete: whoever may delete some does not try it.
        """
        deletes = least("viewer" if self._table.name == "app.members" else self._rights.deletes)  # they leave
        allowed = {"update": least(self._rights.updates), "delete": deletes, "merge": NOBODY}
        places = {self._places.here, NO_CALLER, *([self._places.empty] if empty else [])}
        for each in blind_writes(self._table, constant, None, "without a condition"):
            command, _, _ = each.attempt.partition(" ")
            spared = deletes if command == "merge" else NOBODY

            def tries(caller: Caller, each: Try = each, spared: frozenset[str] = spared) -> list[Try]:
                return [each] if caller.workspace in places and caller.relation not in spared else []

            yield self._case(each.attempt, allowed[command], tries)


def on_members(places: Workspaces) -> Iterator[Case]:
    """Yield what is tried with memberships."""
    here = f"workspace_id = {literal(places.here)}"
    somebody, owner = (f"{here} and user_id = {literal(user)}" for user in (places.a_viewer, places.an_owner))
    case, owners = partial(_of_all, "app.members"), least("owner")
    yield case("insert oneself", NOBODY, lambda caller: _joining(places, caller))
    yield case("insert somebody else", NOBODY, _member(places.here, "somebody else"))
    yield case("update somebody's role", owners, f"update app.members set role = 'owner' where {somebody}")
    yield case("update one's own role", owners, _on_own(places, "update app.members set role = 'owner'"))
    yield case(
        "update whose membership it is", NOBODY, f"update app.members set user_id = 'somebody else' where {owner}"
    )
    move = f"update app.members set workspace_id = {literal(places.there)} where {somebody}"
    yield case("move to another workspace", NOBODY, move)
    yield case("delete somebody", owners, f"delete from app.members where {somebody}")
    yield case("delete an owner", owners, f"delete from app.members where {owner}")
    yield case("delete oneself: leave", _MEMBERS, _on_own(places, "delete from app.members"))
    yield case("merge", owners, f"merge into app.members using (select) as s on {somebody} when matched then delete")
    # Whoever acts elsewhere acts there, and is the only owner.
    last = f"where workspace_id = {literal(places.empty)}"
    refusals = (asyncpg.CheckViolationError,)
    yield case("delete the last owner elsewhere", NOBODY, f"delete from app.members {last}", refusals)
    yield case("demote the last owner elsewhere", NOBODY, f"update app.members set role = 'viewer' {last}", refusals)


def _member(workspace: str, user: str) -> str:
    values = f"({literal(workspace)}, {literal(user)}, 'owner')"
    return f"insert into app.members (workspace_id, user_id, role) values {values}"


def _joining(places: Workspaces, caller: Caller) -> list[str]:
    """Return what makes the caller a member: here, or if they are one, of another workspace."""
    taken = places.members.get(caller.user, {})
    return [_member(each, caller.user) for each in (places.here, places.there, places.empty) if each not in taken][:1]


def _on_own(places: Workspaces, statement: str) -> Tries:
    """Return a statement on one's own membership, for those who have one."""

    def tries(caller: Caller) -> list[str]:
        mine = f"workspace_id = {literal(places.here)} and user_id = {literal(caller.user)}"
        return [f"{statement} where {mine}"] if places.here in places.members.get(caller.user, {}) else []

    return tries


def on_invitations(places: Workspaces) -> Iterator[Case]:
    """Yield what is tried with invitations, beside what is tried with any row."""
    here = f"workspace_id = {literal(places.here)}"
    case = partial(_of_all, "app.invitations")
    expired = invite("owner", any_hash(), "now()")
    yield case("select the hash", NOBODY, f"select token_hash from app.invitations where {here}")
    yield case("insert one that has expired", NOBODY, expired, (asyncpg.CheckViolationError,))


def on_functions(places: Workspaces) -> Iterator[Case]:
    """Yield what is tried with functions."""
    accept = partial(_of_all, "app.accept_invitation(bytea)", refusals=(asyncpg.UniqueViolationError,))
    yield accept("accept an open invitation", _NOT_JOINED, _found(f"app.accept_invitation({places.opened.token_hash})"))
    yield accept("accept one again", NOBODY, _found(f"app.accept_invitation({places.used.token_hash})"))
    yield accept("accept a revoked one", NOBODY, _found(f"app.accept_invitation({places.revoked.token_hash})"))
    yield accept("accept a made-up one", NOBODY, _found(f"app.accept_invitation({any_hash()})"))
    for role in ROLES:
        query = f"select where app.current_workspace_id({literal(role)}) = {literal(places.here)}"
        yield _of_all("app.current_workspace_id(text)", f"act as {role}", least(role), query)
    yield _of_all("app.current_memberships()", "select others' memberships", NOBODY, _others_memberships)
    created = f"select from app.create_workspace({literal(NAME)})"
    yield _of_all("app.create_workspace(text)", "create a workspace", _CALLERS, created)


def _others_memberships(caller: Caller) -> list[str]:
    """Return a query of what is not one's own, nor in the workspace that one acts in."""
    where = f"user_id <> {literal(caller.user)}"
    if caller.workspace:
        where += f" or workspace_id <> {literal(caller.workspace)}"
    return [f"select from app.current_memberships() where {where}"]


def _found(call: str) -> str:
    return f"select from {call} as found where found is not null"


def _of_all(
    object_: str,
    attempt: str,
    allowed: frozenset[str],
    tries: str | Tries,
    refusals: tuple[type[asyncpg.PostgresError], ...] = (),
) -> Case:
    """Return a case, whose statement may be the same for all callers."""
    return Case(object_, attempt, allowed, tries if callable(tries) else lambda _: [tries], refusals)
