"""What `sub` may be: every string that can name a user, and nothing else."""

from typing import Any

import httpx2
import psycopg
import pytest

from tests.support.forgery import assert_all_unauthorized, claims, forge
from tests.support.tokens import bearer, make_token

NO_SUBJECTS: tuple[Any, ...] = (
    *(None, "", 1, 1.5, True, [], ["alice"], {"id": "alice"}, "x" * 256, "x" * 300, "𝄞" * 256),
    *("\x00", "alice\x00", "\n", "alice\n", "a\tb", "\x1f", "\x7f", "\x80", "\x9f"),
    *("\ud800", "alice\udfff", "\udc00\ud800"),
    *(".", ".."),  # a client resolves /members/.. before it sends it
)
SUBJECTS = (
    *(
        "x" * 255,
        "𝄞" * 255,
        "'" * 255,
        "\\" * 255,
        "a",
        "0",
        "null",
        " ",
        "alice",
        "Alice",
        "alice ",
        "alice'",
        "...",
        "..alice",
        "a/../b",
        "alice\\",
    ),
    *("alice@example.com", "019a0000-0000-7000-8000-000000000000", "auth0|5f7c8ec7c33c6c004bbafe82"),
    *("'; drop table app.tasks; --", "\\'; commit; --", "$$", "$1", "/*", "--", '"', "%s", "\\x00", "E'"),
    *("👩\u200d👩\u200d👧", "\u00e9", "e\u0301", "\u202e", "\uffff"),
)


def test_a_subject_that_is_no_user_id_is_refused(
    admin: psycopg.Connection, anonymous: httpx2.Client, subtests: pytest.Subtests
) -> None:
    tokens = [(ascii(subject)[:40], forge(payload=claims(sub=subject))) for subject in NO_SUBJECTS]
    without = claims()
    del without["sub"]
    assert_all_unauthorized(admin, anonymous, subtests, [("missing", forge(payload=without)), *tokens])


def test_every_user_has_rows_of_their_own(anonymous: httpx2.Client) -> None:
    headers = {subject: bearer(make_token(subject)) for subject in SUBJECTS}
    tasks = {
        subject: anonymous.post("/tasks", json={"text": "Buy milk"}, headers=headers[subject]).json()
        for subject in SUBJECTS
    }

    assert [task["user_id"] for task in tasks.values()] == list(SUBJECTS)
    for subject, task in tasks.items():
        assert anonymous.get("/tasks", headers=headers[subject]).json()["items"] == [task]
