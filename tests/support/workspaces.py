"""Workspaces through the API: made, and joined by invitation."""

import httpx2


def create_workspace(owner: httpx2.Client) -> str:
    """Create a workspace; return its path."""
    created = owner.post("/workspaces", json={"name": "Garden"})
    assert created.status_code == 201, created.text
    return created.headers["location"]


def join(workspace: str, owner: httpx2.Client, member: httpx2.Client, role: str) -> None:
    """Make somebody a member of the workspace at this path, by an invitation of its owner."""
    invited = owner.post(f"{workspace}/invitations", json={"role": role})
    accepted = member.post("/invitations/accept", json={"token": invited.json()["token"]})
    assert (accepted.status_code, accepted.json()["role"]) == (200, role), accepted.text
