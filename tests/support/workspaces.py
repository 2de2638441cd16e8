"""Workspaces and who is in them, as a DBA would make them: for tests that are about something else."""

from uuid import uuid4

import psycopg

from api.invitations.routes import hash_of


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
