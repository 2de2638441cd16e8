"""Teams whose members share the tasks of a workspace, each in a role."""

from typing import Any

from benchmarks.soak.client import Caller, Reply, until_created
from benchmarks.soak.ledger import Creation, Row
from benchmarks.soak.people import World
from benchmarks.soak.tasks import etag_of

STEPS = 80  # in a workspace, until it is deleted
ROLES = ("viewer", "editor", "owner")


class Team:
    """An owner who creates a workspace, works in it with others, and deletes it, again and again.

    One request at a time decides who is a member in which role, so that it is known what each may do. A member whose
    role is not known any more, because a response was lost, takes no more part.
    """

    def __init__(self, world: World, number: int) -> None:
        """Be the team of this number."""
        self._world = world
        self._ledger = world.ledger
        self._request = world.client.request
        self._chance = world.chance
        self._name = f"team-{number}"
        self._users = 0
        self._members: list[tuple[Caller, Row]] = []  # without the owner who has created the workspace

    async def live(self) -> None:
        """Work in one workspace after the other, until it is over."""
        while not self._world.is_over:
            if await self._create():
                for _ in range(STEPS):
                    if not self._world.is_over:
                        await self._step()
                if not self._world.is_over:
                    await self._delete()

    async def _step(self) -> None:
        missing = [role for role in ROLES if not self._in_role(role)]
        kind = self._chance.random()
        if len(missing) > 1 or (missing and kind < 0.2):
            await self._invite(missing[0])
        elif kind < 0.7:
            await self._tasks.step(self._chance.choice([self._owner, *self._in_role("editor", "owner")]))
        elif kind < 0.78:
            await self._tasks.refuse(self._new_user(), 404, 404)
        elif kind < 0.85 and (viewers := self._in_role("viewer")):
            await self._tasks.refuse(self._chance.choice(viewers), 200, 403)
        else:
            steps = [self._change_role, self._leave, self._rename, self._list, self._keep_an_owner, self._refuse]
            await self._chance.choice(steps)()

    def _new_user(self, *tenants: str) -> Caller:
        self._users += 1
        return self._world.new_caller(f"{self._name}-{self._users}", *tenants)

    def _new_name(self) -> str:
        return f"of:{self._name}; {self._chance.getrandbits(64):016x}"

    def _in_role(self, *roles: str) -> list[Caller]:
        return [caller for caller, row in self._members if row.state["role"] in roles]

    def _path(self, *parts: str) -> str:
        return "/".join(["/workspaces", self._workspace.id, *parts])

    # ---- workspaces ----------------------------------------------------------------------------------

    async def _create(self) -> bool:
        """Return whether there is a new workspace for certain."""
        state = {"name": self._new_name()}
        self._owner = self._new_user(self._name)
        self._ledger.creations[state["name"]] = Creation(self._name, state)
        key = f"{self._chance.getrandbits(128):032x}"

        async def post() -> Reply:
            return await self._request(self._owner, "POST", "/workspaces", {201}, state, idempotency_key=key)

        reply = await until_created(post)
        if reply.status != 201:
            return False
        del self._ledger.creations[state["name"]]
        made: str = reply.body["id"]
        self._workspace = self._ledger.add(made, made, reply.etag, state)
        self._ledger.add(made, f"{made}/{self._owner.user}", reply.etag, {"role": "owner"})
        self._owner = self._owner._replace(tenants=frozenset({self._name, made}))
        self._members = []
        self._tasks = self._world.tasks(self._path("tasks"), made)
        return True

    async def _rename(self) -> None:
        row, write = self._workspace, {"name": self._new_name()}
        since = row.etag
        expected = {200, 412} if row.open else {200}
        row.open.append(write)
        reply = await self._request(self._owner, "PATCH", self._path(), expected, write, if_match=since)
        if reply.status == 200:
            self._ledger.wrote(row, reply, write, {"name": reply.body["name"]}, since, since)
        if not reply.is_unknown:
            row.open.remove(write)
        if reply.status == 412:
            reply = await self._request(self._owner, "GET", self._path(), {200})
            if reply.status == 200:
                self._ledger.see(row, reply.etag, {"name": reply.body["name"]}, since, reply.request_id)

    async def _delete(self) -> None:
        reply = await self._request(self._owner, "DELETE", self._path(), {204})
        if reply.status == 204:
            self._ledger.remove_tenant(self._workspace.id)
            await self._tasks.refuse(self._owner._replace(tenants=frozenset()), 404, 404)
        elif reply.is_unknown:
            self._ledger.remove_tenant(self._workspace.id, is_unknown=True)

    # ---- members -------------------------------------------------------------------------------------

    async def _invite(self, role: str) -> None:
        body = {"role": role}
        invited = await self._request(self._owner, "POST", self._path("invitations"), {201}, body)
        if invited.status != 201:
            return
        guest = self._new_user(self._name, self._workspace.id)
        row_id = f"{self._workspace.id}/{guest.user}"
        self._ledger.creations[row_id] = Creation(self._workspace.id, body)
        token = {"token": invited.body["token"]}
        reply = await self._request(guest, "POST", "/invitations/accept", {200}, token)
        if not reply.is_unknown:
            del self._ledger.creations[row_id]
        if reply.status == 200:
            row = self._ledger.add(self._workspace.id, row_id, reply.etag, body)
            self._members.append((guest, row))
            await self._request(self._new_user(), "POST", "/invitations/accept", {404}, token)

    async def _change_role(self) -> None:
        member = caller, row = self._chance.choice(self._members)
        write, since = {"role": self._chance.choice(ROLES)}, row.etag
        row.open.append(write)
        path = self._path("members", caller.user)
        reply = await self._request(self._owner, "PATCH", path, {200}, write, if_match=since)
        if reply.status == 200:
            self._ledger.wrote(row, reply, write, {"role": reply.body["role"]}, since, since)
        if reply.is_unknown:
            self._members.remove(member)
        else:
            row.open.remove(write)

    async def _leave(self) -> None:
        """Have a member leave, or removed, who then sees nothing any more."""
        member = caller, row = self._chance.choice(self._members)
        path = self._path("members", caller.user)
        reply = await self._request(self._chance.choice([self._owner, caller]), "DELETE", path, {204})
        if reply.status == 204 or reply.is_unknown:
            self._members.remove(member)
        row.may_be_gone = reply.is_unknown
        if reply.status == 204:
            self._ledger.remove(row)
            await self._tasks.refuse(caller._replace(tenants=frozenset()), 404, 404)

    async def _list(self) -> None:
        """Have a member read all members, and the only workspace."""
        reader = self._chance.choice([self._owner, *(caller for caller, _ in self._members)])
        reply = await self._request(reader, "GET", self._path("members"), {200})
        if reply.status == 200:
            self._see_members(reply)
        reply = await self._request(reader, "GET", "/workspaces", {200})
        if reply.status == 200 and [each["id"] for each in reply.body["items"]] != [self._workspace.id]:
            wrong = f"{reader.user} is a member of {self._workspace.id}, and sees {reply.body}"
            self._ledger.tally.violation("rows", wrong, reply.request_id)

    def _see_members(self, reply: Reply) -> None:
        items: dict[str, Any] = {f"{self._workspace.id}/{each['user_id']}": each for each in reply.body["items"]}
        for row_id, item in items.items():
            if row := self._ledger.rows.get(row_id):
                self._ledger.see(row, etag_of(item), {"role": item["role"]}, row.etag, reply.request_id)
            elif row_id not in self._ledger.creations:
                self._ledger.tally.violation("rows", f"nobody has invited {row_id}", reply.request_id)
        for _, row in self._members:
            if row.id not in items and not row.may_be_gone:
                self._ledger.tally.violation("rows", f"the member {row.id} is missing", reply.request_id)

    async def _keep_an_owner(self) -> None:
        """Have the last owner try to leave."""
        rows = self._ledger.of[self._workspace.id].values()
        owners = [row for row in rows if "role" in row.state and (row.state["role"] == "owner" or row.open)]
        is_certain = all(each.tenant != self._workspace.id for each in self._ledger.creations.values())
        if len(owners) == 1 and is_certain:
            await self._request(self._owner, "DELETE", self._path("members", self._owner.user), {409})

    async def _refuse(self) -> None:
        """Try what only owners may: others get a 403, and whoever is no member a 404."""
        outsider = self._new_user()
        callers = [*((each, 403) for each in self._in_role("viewer", "editor")), (outsider, 404)]
        caller, status = self._chance.choice(callers)
        method, path, body = self._chance.choice(
            [
                ("PATCH", self._path(), {"name": self._new_name()}),
                ("POST", self._path("invitations"), {"role": "owner"}),
                ("GET", self._path("invitations"), None),
                ("PATCH", self._path("members", self._owner.user), {"role": "viewer"}),
                ("DELETE", self._path("members", self._owner.user), None),
                ("DELETE", self._path(), None),
            ]
        )
        await self._request(caller, method, path, {status}, body)
