"""The examples of /openapi.json that are members. A test asks for each of them and compares."""

from collections.abc import Mapping
from typing import Any

from api.http.examples import Problems, problem

MEMBER: Mapping[str, Any] = {
    "user_id": "alice",
    "role": "owner",
    "joined_at": "2026-11-21T08:00:00.123456+00:00",
    "updated_at": "2026-11-21T08:30:00.123456+00:00",
}
SCHEMAS: Mapping[str, Any] = {
    "Member": MEMBER,
    "MemberPage": {"items": [MEMBER], "next_cursor": None},
    "MemberUpdate": {"role": "owner"},
}
MISSING = "No member with this id."
LAST_OWNER = "The last owner of a workspace can neither leave nor step down. Make somebody else an owner first."
PROBLEMS: Mapping[int, Problems] = {
    404: {"one member": problem(404, MISSING)},
    409: {"last owner": problem(409, LAST_OWNER, code="last_owner")},
}
