"""The workspaces of `--prove`, and who is what in one of them: made up, through what the product has for that.

`here` is the workspace that all attempts are about, `there` another one that has rows, `empty` one that has none.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from secrets import token_hex
from typing import NamedTuple
from uuid import uuid4

from db.audit.attempts import NO_CALLER
from db.audit.rows import USER, literal
from db.audit.seeds import API, Tenants, Transaction, acting

SETTING = "app.workspace_id"
"""What a session sets to act in one; see audit.tenants."""

ROLES = ("viewer", "editor", "owner")
"""Each may do what the ones before it may."""

RELATIONS = {
    "owner": "acts in the workspace; one owner has only this workspace, another one owns more of them",
    "editor": "acts in the workspace",
    "viewer": "acts in the workspace; owns another one",
    "former member": "was an owner and has been removed",
    "invited": "has an invitation to become an owner and has not accepted it",
    "outsider": "belongs to no workspace",
    "member of another": "an owner, an editor and a viewer of another workspace, acting there and in this one",
    "acting elsewhere": "an owner, acting in another workspace that is theirs",
    "acting nowhere": "an owner, acting in no workspace",
    "nobody": "a session without a caller, in this workspace and in none",
}
"""What a caller can be to a workspace: the columns of the matrix. All of them know every id."""


class Caller(NamedTuple):
    """Somebody who is something to the workspace, and the workspace that they act in."""

    relation: str
    user: str
    workspace: str


class Invitation(NamedTuple):
    """An invitation: its id, and the hash of its token as SQL."""

    id: str
    token_hash: str


class Workspaces(NamedTuple):
    """The workspaces, who belongs to them, and three invitations to the one that all attempts are about."""

    here: str
    there: str
    empty: str
    members: Mapping[str, Mapping[str, str]]
    """The roles of each user, by workspace."""
    callers: Sequence[Caller]
    a_viewer: str
    an_owner: str
    """Members who are no callers: the others try to change what they are."""
    opened: Invitation
    used: Invitation
    """By whoever is a former member now."""
    revoked: Invitation

    @property
    def tenants(self) -> Tenants:
        """The same as of any other kind of tenant."""
        return Tenants(self.here, self.there, self.empty)


Run = Callable[[str, str, str], Awaitable[str]]
"""Runs a query as a user who acts in a workspace, and returns its value."""

NAME = "partywall audit --prove"
CREATE = f"select id::text from app.create_workspace({literal(NAME)})"
"""Creates a workspace of the user, and returns its id."""


def run_in(transaction: Transaction) -> Run:
    """Return what runs a query in an open transaction of app_api."""

    async def run(user: str, workspace: str, query: str) -> str:
        async with acting(transaction, API, {USER: user, SETTING: workspace}, keep=True):
            [[value]] = await transaction.fetch(query)
        return str(value)

    return run


async def make(run: Run, me: str) -> Workspaces:
    """Make workspaces that belong to the user `me`, and people in each relation. Raises what asyncpg raises."""
    here, there, empty = [await run(me, NO_CALLER, CREATE) for _ in range(3)]
    await run(str(uuid4()), NO_CALLER, CREATE)  # of nobody who tries anything
    members = {str(uuid4()): roles for roles in _memberships(here, there)}
    a_viewer, an_owner, *others = members
    for user, roles in members.items():
        for workspace, role_there in roles.items():
            await _join(run, user, await _invite(run, me, workspace, role_there))
    members[me] = dict.fromkeys((here, there, empty), "owner")
    opened, used, revoked = [await _invite(run, me, here, "owner") for _ in range(3)]
    await _invite(run, me, there, "owner")
    former = str(uuid4())
    await _join(run, former, used)
    await run(me, here, gone("app.members", f"user_id = {literal(former)}"))
    await run(me, here, gone("app.invitations", f"id = {literal(revoked.id)}"))
    callers = [
        *_members(here, there, {user: members[user] for user in (*others, me)}),
        *_others(here, empty, me, former),
    ]
    return Workspaces(here, there, empty, members, callers, a_viewer, an_owner, opened, used, revoked)


def _memberships(here: str, there: str) -> Iterator[dict[str, str]]:
    """Yield the roles of each member, by workspace: first those of two who are no callers."""
    yield from ({here: "viewer"}, {here: "owner"})
    yield from ({here: "viewer", there: "owner"}, {here: "editor"}, {here: "owner"})
    yield from ({there: role} for role in ROLES)


async def _invite(run: Run, owner: str, workspace: str, role: str) -> Invitation:
    token_hash = any_hash()
    return Invitation(await run(owner, workspace, f"{invite(role, token_hash)} returning id::text"), token_hash)


def any_hash() -> str:
    """Return the hash of a token that nobody has, as SQL."""
    return f"'\\x{token_hex(32)}'::bytea"


def invite(role: str, token_hash: str, expires_at: str = "now() + interval '1 hour'") -> str:
    """Return the statement that makes an invitation."""
    values = f"({literal(role)}, {token_hash}, {expires_at})"
    return f"insert into app.invitations (role, token_hash, expires_at) values {values}"


async def _join(run: Run, user: str, invitation: Invitation) -> None:
    await run(user, NO_CALLER, f"select app.accept_invitation({invitation.token_hash})::text")


def gone(table: str, condition: str) -> str:
    """Return the query that deletes rows, and returns how many."""
    deletion = f"delete from {table} where {condition} returning 1"
    return f"with gone as ({deletion}) select count(*)::text from gone"


def _members(here: str, there: str, members: Mapping[str, Mapping[str, str]]) -> Iterator[Caller]:
    for user, roles in members.items():
        if here in roles:
            yield Caller(roles[here], user, here)
        else:
            yield from (Caller("member of another", user, workspace) for workspace in (there, here))


def _others(here: str, empty: str, owner: str, former: str) -> Iterator[Caller]:
    for relation, user in (("former member", former), ("invited", str(uuid4())), ("outsider", str(uuid4()))):
        yield from (Caller(relation, user, workspace) for workspace in (here, NO_CALLER))
    yield from (Caller("acting elsewhere", owner, empty), Caller("acting nowhere", owner, NO_CALLER))
    yield from (Caller("nobody", NO_CALLER, workspace) for workspace in (here, NO_CALLER))
