"""Workspaces and who is in them, as a DBA would make them: for tests that are about something else."""

from typing import Any
from uuid import uuid4

import httpx2
import psycopg

from api.invitations.routes import hash_of
from tests.support.servers import NO_TLS
from tests.support.tokens import bearer, make_token

Json = dict[str, Any]


def workspace(admin: psycopg.Connection, owner: str) -> str:
    """Create a workspace with its owner; return its id."""
    workspace_id = str(uuid4())
    admin.execute("insert into app.workspaces (workspace_id, name) values (%s, 'Garden')", [workspace_id])
    add_member(admin, workspace_id, owner, "owner")
    return workspace_id


def add_member(admin: psycopg.Connection, workspace_id: str, user: str, role: str) -> None:
    """Make a user a member with this role, whatever they were before."""
    admin.execute(
        "insert into app.members (workspace_id, user_id, role) values (%s, %s, %s)"
        " on conflict (workspace_id, user_id) do update set role = excluded.role",
        [workspace_id, user, role],
    )
    admin.commit()


def invite(admin: psycopg.Connection, token: str, *, to: str, role: str = "owner", by: str = "bob") -> None:
    """Make an invitation with this token."""
    admin.execute(
        "insert into app.invitations (workspace_id, user_id, role, token_hash, expires_at)"
        " values (%s, %s, %s, %s, now() + interval '1 hour')",
        [to, by, role, hash_of(token)],
    )
    admin.commit()


class InWorkspace(httpx2.Client):
    """A client for which /tasks are those of a workspace, in what it sends and in what it gets.

    The path and the member workspace_id are all that may differ from a user's own tasks.
    """

    def __init__(self, base_url: str, user: str, workspace_id: str) -> None:
        """Call as `user`."""
        super().__init__(base_url=base_url, headers=bearer(make_token(user)), verify=NO_TLS)
        self._path = f"/workspaces/{workspace_id}"
        self._member = f'"workspace_id":"{workspace_id}",'

    def request(self, method: str, url: httpx2.URL | str, **more: Any) -> httpx2.Response:
        """Return the response, without what is of the workspace."""
        response = super().request(method, str(url).replace("/tasks", f"{self._path}/tasks", 1), **more)
        tasks = response.text.count('"completed_at":')
        assert response.text.count(self._member) == (tasks if response.is_success else 0)
        headers = [(name, value.replace(self._path, "")) for name, value in response.headers.multi_items()]
        text = response.text.replace(self._path, "").replace(self._member, "")
        return httpx2.Response(response.status_code, headers=headers, text=text, request=response.request)


def create_workspace(client: httpx2.Client, name: str = "Garden") -> Json:
    """Let a caller create a workspace; return it."""
    response = client.post("/workspaces", json={"name": name})
    assert response.status_code == 201, response.text
    workspace: Json = response.json()
    return workspace


def role_of(admin: psycopg.Connection, workspace_id: str, user: str) -> str | None:
    """Return the role of a user in a workspace; None if they are no member."""
    row = admin.execute(
        "select role from app.members where workspace_id = %s and user_id = %s", [workspace_id, user]
    ).fetchone()
    admin.commit()
    return None if row is None else str(row[0])
