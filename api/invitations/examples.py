"""The examples of /openapi.json that are invitations. A test asks for each of them and compares."""

from collections.abc import Mapping
from typing import Any

from api.http.examples import WORKSPACE_ID, Problems, problem

INVITATION_ID = "0198c0de-0000-7000-8000-00000000000b"
TOKEN = "q2Yt3m1xH4cJ8vWbN7pLrS0dKfGzQeUaTiXoMhVyB5E"  # noqa: S105 - an example

INVITATION: Mapping[str, Any] = {
    "workspace_id": WORKSPACE_ID,
    "id": INVITATION_ID,
    "user_id": "alice",
    "role": "editor",
    "created_at": "2026-11-21T08:00:00.123456+00:00",
    "updated_at": "2026-11-21T08:00:00.123456+00:00",
    "expires_at": "2026-11-28T08:00:00.123456+00:00",
    "accepted_at": None,
    "accepted_by": None,
}
SCHEMAS: Mapping[str, Any] = {
    "Invitation": INVITATION,
    "InvitationWithToken": {**INVITATION, "token": TOKEN},
    "InvitationPage": {"items": [INVITATION], "next_cursor": None},
    "InvitationCreate": {"role": "editor"},
    "InvitationAccept": {"token": TOKEN},
}
MISSING = "No invitation with this id."
NO_INVITATION = "No invitation with this token: it may have been used or revoked, or have expired."
ALREADY_MEMBER = "You are a member of this workspace already. The invitation is still open."
PROBLEMS: Mapping[int, Problems] = {
    404: {
        "one invitation": problem(404, MISSING),
        "token": problem(404, NO_INVITATION),
    },
    409: {"already a member": problem(409, ALREADY_MEMBER, code="already_member")},
    429: {
        "too many attempts": problem(
            429, "You have tried too many invitations. Wait a minute.", code="too_many_attempts"
        )
    },
}
