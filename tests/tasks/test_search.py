"""GET /tasks?q=: whose text contains something, in upper or lower case."""

import string
import sys

import httpx2
import psycopg
import pytest

from api.http.search import in_any_case
from tests.support.refusals import assert_refused
from tests.support.tasks import IN_EVERY_HOME, add, page
from tests.support.tokens import bearer, make_token


def found(client: httpx2.Client, q: str, **parameters: str | int | bool) -> list[str]:
    """Return the texts of all tasks that are found, page after page."""
    response = client.get("/tasks", params={"q": q, "limit": 2, **parameters})
    texts = []
    while True:
        assert response.status_code == 200, response.text
        texts += [task["text"] for task in response.json()["items"]]
        if "next" not in response.links:
            return texts
        response = client.get(response.links["next"]["url"])


# ---- what matches ------------------------------------------------------------------------------------

MATCHES = (
    *(("Buy milk", q) for q in ("milk", "MILK", "y m", "Buy milk", "b", "K", "\N{KELVIN SIGN}")),
    *(("Äpfel", q) for q in ("äpfel", "ÄPFEL", "Ä")),
    *(("Straße", q) for q in ("STRASSE".replace("SS", "ẞ"), "straße")),
    *(("ΟΔΟΣ οδος", q) for q in ("οδοσ", "ΟΔΟΣ", "οδος")),
    ("İstanbul", "İSTANBUL"),
    ("ЁЛКА", "ёлка"),
    ("two\nlines", "O\nL"),
    ("👍🏽 done", "🏽 D"),
)
OTHERS = (
    *(
        ("Buy milk", q)
        for q in ("milk ", "m.lk", "m%k", "m_lk", ".", "mi|x", "^B", "k$", "[bm]", "mi*lk", r"\w", "(?i)x")
    ),
    *(("Straße", q) for q in ("strasse", "ss")),
    *(("İstanbul", q) for q in ("istanbul", "ISTANBUL", "ıstanbul")),  # noqa: RUF001 - Turkish
    ("Äpfel", "Apfel"),
    ("cafe\N{COMBINING ACUTE ACCENT}", "café"),
)


def test_a_text_that_contains_it_is_found_in_upper_and_lower_case_and_no_other(
    alice: httpx2.Client, subtests: pytest.Subtests
) -> None:
    for text in dict(MATCHES + OTHERS):
        add(alice, text)
    for text, q in MATCHES:
        with subtests.test(text=text, q=q):
            assert text in found(alice, q)
    for text, q in OTHERS:
        with subtests.test(text=text, not_q=q):
            assert text not in found(alice, q)


def test_every_sign_of_ascii_is_found_and_stands_for_itself(alice: httpx2.Client) -> None:
    signs = string.punctuation + string.digits
    for sign in signs:
        add(alice, f"a{sign}b")
    for sign in signs:
        assert found(alice, f"A{sign}B") == found(alice, f"{sign}b") == found(alice, sign) == [f"a{sign}b"]
    assert found(alice, signs) == []


def test_postgresql_and_python_agree_on_every_letter(admin: psycopg.Connection) -> None:
    """Whatever the locale of the database is."""
    letters = [c for c in map(chr, range(sys.maxunicode + 1)) if len({c, c.lower(), c.upper(), c.casefold()}) > 1]
    pairs = [(c, other) for c in letters for other in {c, c.lower(), c.upper()} if c.casefold() == other.casefold()]
    texts, patterns = [c for c, _ in pairs], [in_any_case(other) for _, other in pairs if len(other) == 1]
    texts = [c for c, other in pairs if len(other) == 1]
    assert len(texts) > 5000

    query = "select text, pattern from unnest(%s::text[], %s::text[]) as u (text, pattern) where text !~ pattern"
    assert admin.execute(query, [texts, patterns]).fetchall() == []


# ---- of what list ------------------------------------------------------------------------------------


@IN_EVERY_HOME
def test_a_search_goes_with_every_order_and_filter_and_page_after_page(alice: httpx2.Client) -> None:
    for n in range(6):
        add(alice, f"Call Bob {n}", completed=n % 2 == 0, order=-n)
        add(alice, f"Buy milk {n}", order=n)

    calls = [f"Call Bob {n}" for n in range(6)]
    assert found(alice, "call bob", sort="created") == calls
    assert found(alice, "call bob", sort="-created") == calls[::-1]
    assert found(alice, "call bob") == found(alice, "call bob", sort="order") == calls[::-1]
    assert found(alice, "call bob", sort="-order", completed=True) == calls[::2]
    assert found(alice, "call bob", sort="created", completed=False, limit=1) == calls[1::2]


@IN_EVERY_HOME
def test_nobody_finds_the_tasks_of_somebody_else(alice: httpx2.Client, bob: httpx2.Client) -> None:
    add(alice, "Buy milk")
    assert (found(alice, "milk"), found(bob, "milk")) == (["Buy milk"], [])


def test_a_cursor_is_of_one_search(alice: httpx2.Client) -> None:
    for _ in range(3):
        add(alice, "50 % & more")
    cursor = page(alice, q="% & m", limit=1)["next_cursor"]

    assert len(page(alice, q="% & m", cursor=cursor)["items"]) == 2
    for other in ({}, {"q": "% & M"}, {"q": "more"}, {"q": "% & m", "completed": "false"}):
        response = alice.get("/tasks", params={"cursor": cursor, **other})
        assert_refused(response, 422, "cursor")
        assert response.json()["errors"][0]["of"] == "/tasks?sort=order&q=%25+%26+m"
    assert_refused(
        alice.get("/tasks", params={"q": "more", "cursor": page(alice, limit=1)["next_cursor"]}), 422, "cursor"
    )


def test_the_longest_search_has_a_next_page(alice: httpx2.Client) -> None:
    for _ in range(2):
        add(alice, "🧱" * 100)
    assert found(alice, "🧱" * 100, limit=1) == ["🧱" * 100] * 2


# ---- what is refused ---------------------------------------------------------------------------------

REFUSED = ("", "%20", "+%09%0A", "%E2%80%A8", "%00", "milk%00", "%FF", "milk%ED%A0%80", "x" * 101, "%F0%9F%A7%B1" * 101)


def test_what_is_blank_too_long_or_not_text_is_refused(base_url: str, subtests: pytest.Subtests) -> None:
    with httpx2.Client(headers=bearer(make_token("alice"))) as alice:
        for sent in REFUSED:
            with subtests.test(sent[:20]):
                assert_refused(alice.get(f"{base_url}/tasks?q={sent}"), 422, "q")
        for sent in ("x" * 100, "%F0%9F%A7%B1" * 100):
            assert alice.get(f"{base_url}/tasks?q={sent}").json() == {"items": [], "next_cursor": None}
