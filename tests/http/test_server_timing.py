"""SERVER_TIMING: how long each phase took, in every response, for whoever may read it."""

import re
from collections.abc import Iterator

import httpx2
import pytest

from api.settings import Settings
from db.metrics import PHASES
from tests.support.database import Url
from tests.support.servers import calling
from tests.support.tokens import bearer, make_token

ORIGIN = "https://app.example.com"
ALICE = bearer(make_token("alice"))


@pytest.fixture
def client(url: Url) -> Iterator[httpx2.Client]:
    with calling(url("app_api"), server_timing=True, cors_origins=(ORIGIN,)) as client:
        yield client


def phases(response: httpx2.Response) -> dict[str, float]:
    """Return the milliseconds by phase (https://www.w3.org/TR/server-timing/)."""
    [header] = response.headers.get_list("server-timing")
    assert re.fullmatch(r"\w+;dur=\d+\.\d{3}(, \w+;dur=\d+\.\d{3})*", header)
    parts = (part.split(";dur=") for part in header.split(", "))
    return {name: float(duration) for name, duration in parts}


def test_a_response_says_how_long_each_phase_took(client: httpx2.Client, way: str) -> None:
    client.get("/tasks", headers=ALICE)  # its statement is prepared then
    shown = phases(client.get("/tasks", headers=ALICE))
    assert [*shown] == ["authenticate", "check_out", "query", *(["commit"] if way == "step by step" else []), "total"]
    assert sum(shown[name] for name in shown if name in PHASES) <= shown["total"]


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "expected"),
    [
        ("GET", "/tasks", {}, 401, ["authenticate", "total"]),
        ("GET", "/nowhere", {}, 404, ["total"]),
        ("PUT", "/tasks", {}, 405, ["total"]),
        ("POST", "/tasks", ALICE, 422, ["authenticate", "total"]),
        ("OPTIONS", "/tasks", {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}, 200, ["total"]),
        (
            "OPTIONS",
            "/tasks",
            {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"},
            400,
            ["total"],
        ),
    ],
)
def test_so_does_one_that_is_refused(
    client: httpx2.Client, method: str, target: str, headers: dict[str, str], status: int, expected: list[str]
) -> None:
    response = client.request(method, target, headers=headers)
    assert response.status_code == status
    assert [*phases(response)] == expected


def test_so_does_one_without_a_database() -> None:
    with calling("postgresql://app_api@127.0.0.1:1/nowhere", server_timing=True) as client:
        response = client.get("/tasks", headers=ALICE)
        assert response.status_code == 503
        assert phases(response).keys() >= {"authenticate", "total"}


def test_pages_of_allowed_origins_may_read_it_and_no_others(client: httpx2.Client) -> None:
    for origin, allowed in ((ORIGIN, ORIGIN), ("https://evil.example", None)):
        response = client.get("/health", headers={"Origin": origin})
        assert response.headers.get("timing-allow-origin") == allowed
        assert response.headers.get("access-control-allow-origin") == allowed
        assert "Server-Timing" in response.headers["access-control-expose-headers"]
    assert "timing-allow-origin" not in client.get("/health").headers


def test_by_default_nobody_learns_it(settings: Settings, url: Url) -> None:
    assert not settings.server_timing
    with calling(url("app_api"), cors_origins=(ORIGIN,)) as client:
        headers = client.get("/health", headers={"Origin": ORIGIN}).headers
        assert not {"server-timing", "timing-allow-origin"} & {*headers}
        assert "Server-Timing" not in headers["access-control-expose-headers"]
