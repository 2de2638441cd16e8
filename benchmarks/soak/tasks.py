"""Requests for tasks, a user's own or those of a workspace, and what each has to return."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from benchmarks.soak.client import Caller, Client, Reply, until_created
from benchmarks.soak.ledger import Creation, Ledger, Row, State

OWN = "/tasks"  # whose path names no tenant
FEW, MANY = 5, 40  # tasks of a tenant
PAGE = 20
LATE = 20.0  # seconds: a request that its client has given up may be carried out until then

# What somebody does with tasks, and how often.
WEIGHTS = {
    "read": 24,
    "read_unless_changed": 5,
    "list": 8,
    "search": 3,
    "create": 10,
    "create_once": 8,
    "create_once_twice_at_the_same_time": 2,
    "change": 14,
    "replace": 6,
    "change_twice_at_the_same_time": 4,
    "change_several": 4,
    "delete": 10,
    "delete_completed": 1,
}


def state_of(item: Mapping[str, Any]) -> State:
    """Return what can be set of a task, from its JSON."""
    return {name: item[name] for name in ("text", "completed", "order")}


def etag_of(item: Mapping[str, Any]) -> str:
    """Return the ETag of a row, from its JSON."""
    return f'"{item["updated_at"]}"'


class Tasks:
    """The tasks of one tenant. One coroutine at a time uses it, so that what is there is known."""

    def __init__(self, client: Client, ledger: Ledger, chance: random.Random, path: str, tenant: str) -> None:
        """Use the tasks at `path`."""
        self.tenant = tenant
        self._client = client
        self._ledger = ledger
        self._chance = chance
        self._path = path
        self._deletes_until = 0.0  # when no given up deletion of completed tasks can be carried out any more

    @property
    def rows(self) -> Sequence[Row]:
        """The tasks that are or may be there."""
        return [row for row in self._ledger.of[self.tenant].values() if "text" in row.state]

    async def step(self, caller: Caller) -> None:
        """Do one of the things of WEIGHTS."""
        count = len(self.rows)
        kind = "create" if count < FEW else "delete" if count > MANY else self._choose()
        await getattr(self, f"_{kind}")(caller)

    async def refuse(self, caller: Caller, read: int, write: int) -> None:
        """Try a read and a write, which have to have these statuses: 404 for whoever sees nothing."""
        row = self._any()
        kinds = ["GET", "PATCH", "PUT", "DELETE", *(("list", "POST") if self._path != OWN else ())]
        kind = self._chance.choice(kinds)
        if kind == "list":
            await self._client.request(caller, "GET", self._path, {read})
        elif kind == "POST":
            await self._client.request(caller, "POST", self._path, {write}, self._new_state())
        else:
            body = {"PATCH": {"completed": True}, "PUT": self._new_state()}.get(kind)
            expected = {read if kind == "GET" else write} | ({404} if row is None or row.may_be_gone else set())
            await self._client.request(caller, kind, self._path_of(row), expected, body)

    def _choose(self) -> str:
        return self._chance.choices([*WEIGHTS], [*WEIGHTS.values()])[0]

    def _any(self) -> Row | None:
        return self._chance.choice(rows) if (rows := self.rows) else None

    def _path_of(self, row: Row | None) -> str:
        return f"{self._path}/{row.id if row else '00000000-0000-7000-8000-000000000000'}"

    def _new_state(self) -> dict[str, Any]:
        text = f"of:{self.tenant}; {self._chance.getrandbits(64):016x}"
        return {"text": text, "completed": self._chance.random() < 0.3, "order": self._chance.randrange(1000)}

    # ---- reads ---------------------------------------------------------------------------------------

    async def _read(self, caller: Caller, row: Row | None = None) -> None:
        if row := row or self._any():
            since = row.etag
            reply = await self._client.request(caller, "GET", self._path_of(row), _found(row))
            if reply.status == 200:
                self._ledger.see(row, reply.etag, state_of(reply.body), since, reply.request_id)
            elif reply.status == 404:
                self._ledger.remove(row)

    async def _read_unless_changed(self, caller: Caller) -> None:
        if row := self._any():
            expected = {304} if row.is_settled else {200, 304, 404}
            await self._client.request(caller, "GET", self._path_of(row), expected, if_none_match=row.etag)

    async def _list(self, caller: Caller) -> None:
        """Read all pages: each row that is certainly there is in one of them, and no other."""
        sort = self._chance.choice(["order", "-order", "created", "-created"])
        before = [row for row in self.rows if row.is_settled]
        is_certain = len(before) == len(self.rows)
        seen: list[str] = []
        path: str | None = f"{self._path}?limit={PAGE}&sort={sort}"
        while path:
            reply = await self._client.request(caller, "GET", path, {200})
            if reply.status != 200:
                return
            seen += self._see_all(reply)
            cursor = reply.body["next_cursor"]
            path = f"{self._path}?limit={PAGE}&sort={sort}&cursor={quote(cursor)}" if cursor else None
        missing = {row.id for row in before} - {*seen}
        if is_certain and (missing or len(seen) != len({*seen})):
            twice = {each for each in seen if seen.count(each) > 1}
            self._ledger.tally.violation(
                "rows", f"a list of {self.tenant} has not {missing}, and twice {twice}", reply.request_id
            )

    async def _search(self, caller: Caller) -> None:
        row = self._any()
        if row and row.is_settled:
            text = str(row.state["text"])
            reply = await self._client.request(caller, "GET", f"{self._path}?q={quote(text[-12:])}", {200})
            if reply.status == 200 and row.id not in [*self._see_all(reply)]:
                self._ledger.tally.violation("rows", f"a search does not find row {row.id}", reply.request_id)

    def _see_all(self, reply: Reply) -> Iterator[str]:
        """Yield the ids of the rows of a page, and check each of them."""
        for item in reply.body["items"]:
            row = self._ledger.rows.get(item["id"])
            if row:
                self._ledger.see(row, etag_of(item), state_of(item), row.etag, reply.request_id)
            elif item["text"] not in self._ledger.creations:
                self._ledger.tally.violation("rows", f"a list has the unknown row {item}", reply.request_id)
            yield item["id"]

    # ---- creations -----------------------------------------------------------------------------------

    async def _create(self, caller: Caller) -> None:
        state = self._new_state()
        reply = await self._post(caller, state)
        if reply.status != 201 and not reply.is_unknown:
            self._refused(state, reply)

    async def _create_once(self, caller: Caller) -> None:
        """Send a creation again until it is known to have happened."""
        state, key = self._new_state(), f"{self._chance.getrandbits(128):032x}"
        await until_created(lambda: self._post(caller, state, idempotency_key=key))

    async def _create_once_twice_at_the_same_time(self, caller: Caller) -> None:
        state, key = self._new_state(), f"{self._chance.getrandbits(128):032x}"
        replies = await asyncio.gather(*(self._post(caller, state, idempotency_key=key) for _ in range(2)))
        created = [reply for reply in replies if reply.status == 201]
        if len({reply.body["id"] for reply in created}) > 1:
            self._ledger.tally.violation("rows", f"one key has created two rows: {created}", created[0].request_id)
        if not created and not any(reply.is_unknown for reply in replies):
            self._refused(state, replies[0])

    async def _post(self, caller: Caller, state: State, **headers: str) -> Reply:
        text = str(state["text"])
        creation = self._ledger.creations.setdefault(text, Creation(self.tenant, state))
        reply = await self._client.request(caller, "POST", self._path, {201}, state, **headers)
        creation.request_id = reply.request_id
        if reply.status == 201:
            self._ledger.creations.pop(text, None)
            row = self._ledger.add(self.tenant, reply.body["id"], reply.etag, state_of(reply.body))
            self._expect_deletion(row, state)
            if state_of(reply.body) != state:
                self._ledger.tally.violation("rows", f"{reply.body} was created for {dict(state)}", reply.request_id)
        return reply

    def _refused(self, state: State, reply: Reply) -> None:
        self._ledger.refused[str(state["text"])] = reply.request_id
        self._ledger.creations.pop(str(state["text"]), None)

    # ---- writes --------------------------------------------------------------------------------------

    async def _change(self, caller: Caller) -> None:
        if row := self._any():
            new = self._new_state()
            names = self._chance.sample([*new], self._chance.randint(1, 3))
            await self._write(caller, row, "PATCH", {name: new[name] for name in names})

    async def _replace(self, caller: Caller) -> None:
        if row := self._any():
            await self._write(caller, row, "PUT", self._new_state())

    async def _change_twice_at_the_same_time(self, caller: Caller) -> None:
        """Of two writes that name the same version, one wins at most."""
        if (row := self._any()) and time.monotonic() > self._deletes_until:
            writes = [self._write(caller, row, "PATCH", self._new_state(), is_raced=True) for _ in range(2)]
            await asyncio.gather(*writes)

    async def _write(self, caller: Caller, row: Row, method: str, write: State, *, is_raced: bool = False) -> None:
        self._expect_deletion(row, write)
        expected = _found(row) | ({412} if is_raced or row.open else set())
        since = row.etag
        if_match = since if is_raced or self._chance.random() < 0.6 else ""
        headers = {"if_match": if_match} if if_match else {}
        row.open.append(write)
        reply = await self._client.request(caller, method, self._path_of(row), expected, write, **headers)
        if reply.status == 200:
            self._ledger.wrote(row, reply, write, state_of(reply.body), since, if_match)
        elif reply.status == 404:
            self._ledger.remove(row)
        if not reply.is_unknown:
            row.open.remove(write)
        if reply.status == 412 and not is_raced:
            await self._read(caller, row)

    async def _change_several(self, caller: Caller) -> None:
        rows = self._chance.sample(self.rows, min(len(self.rows), self._chance.randint(1, 8)))
        writes = [{"completed": self._chance.random() < 0.3, "order": self._chance.randrange(1000)} for _ in rows]
        before = [row.etag for row in rows]
        for row, write in zip(rows, writes, strict=True):
            self._expect_deletion(row, write)
            row.open.append(write)
        expected = {200} | ({404} if any(row.may_be_gone for row in rows) else set())
        body = {"tasks": [{"id": row.id, **write} for row, write in zip(rows, writes, strict=True)]}
        reply = await self._client.request(caller, "PATCH", self._path, expected, body)
        for number, (row, write) in enumerate(zip(rows, writes, strict=True)):
            if reply.status == 200:
                item = reply.body["items"][number]
                one = reply._replace(etag=etag_of(item))
                self._ledger.wrote(row, one, write, state_of(item), before[number])
            if not reply.is_unknown:
                row.open.remove(write)

    # ---- deletions -----------------------------------------------------------------------------------

    async def _delete(self, caller: Caller) -> None:
        if row := self._any():
            is_conditional = self._chance.random() < 0.5
            expected = {204} | ({404} if row.may_be_gone else set()) | ({412} if row.open else set())
            headers = {"if_match": row.etag} if is_conditional else {}
            was_doubtful, row.may_be_gone = row.may_be_gone, True
            reply = await self._client.request(caller, "DELETE", self._path_of(row), expected, **headers)
            if reply.status in {204, 404}:
                self._ledger.remove(row)
            elif not reply.is_unknown:
                row.may_be_gone = was_doubtful

    async def _delete_completed(self, caller: Caller) -> None:
        certain = [row for row in self.rows if row.state["completed"] and row.is_settled]
        possible = [
            row
            for row in self.rows
            if row not in certain and (row.state["completed"] or any(write.get("completed") for write in row.open))
        ]
        more = sum(each.tenant == self.tenant for each in self._ledger.creations.values())
        reply = await self._client.request(caller, "DELETE", f"{self._path}?completed=true", {200})
        if reply.is_unknown:
            self._deletes_until = time.monotonic() + LATE
        elif reply.status != 200:
            return
        for row in [*certain, *possible]:
            if reply.status == 200 and row in certain:
                self._ledger.remove(row)
            else:
                row.may_be_gone = True
        if reply.status == 200 and not 0 <= reply.body["deleted"] - len(certain) <= len(possible) + more:
            wrong = f"{reply.body} of {self.tenant}, which had {len(certain)} completed tasks"
            self._ledger.tally.violation("rows", wrong, reply.request_id)

    def _expect_deletion(self, row: Row, write: State) -> None:
        """Note that a row which turns completed may be deleted by a request that its client has given up."""
        if write.get("completed") and time.monotonic() < self._deletes_until:
            row.may_be_gone = True


def _found(row: Row) -> set[int]:
    return {200, 404} if row.may_be_gone else {200}
