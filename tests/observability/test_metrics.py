"""What /metrics has: requests, tokens, keys, readiness; and nothing that a client can make grow."""

import re
from collections import Counter

import httpx2
import psycopg
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from api.settings import Settings
from tests.support.database import ROOT, Url
from tests.support.forgery import claims, forge
from tests.support.keyserver import running, shorten_lifetimes, token
from tests.support.metrics import figures
from tests.support.servers import calling, serving
from tests.support.tokens import bearer, make_token
from tests.support.waiting import eventually

UNKNOWN = "/tasks/01900000-0000-7000-8000-000000000000"
NAMES = re.findall(r"^\| `(\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
OF_REPLICA = {"partywall_replica_used", "partywall_replica_lag_seconds"}  # tests/faults/test_replica.py


def numbers(client: httpx2.Client) -> Counter[tuple[str, str, str]]:
    """Return how many requests of each kind there were: method, route, status."""
    response = client.get("/metrics", headers={"Authorization": ""})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    [seconds] = [family for family in parse(response.text) if family.name == "http_request_duration_seconds"]
    return Counter(
        {
            (sample.labels["method"], sample.labels["route"], sample.labels["status"]): int(sample.value)
            for sample in seconds.samples
            if sample.name.endswith("_count")
        }
    )


# ---- requests -------------------------------------------------------------------------------------------


def test_every_request_is_counted_by_method_route_and_status(alice: httpx2.Client) -> None:
    before = numbers(alice)
    alice.post("/tasks", json={"text": "Buy milk"})
    alice.post("/tasks", json={"text": "Buy bread"})
    alice.post("/tasks", json={"text": ""})
    alice.head(UNKNOWN)
    alice.options("/tasks")
    alice.get("/tasks", headers={"Authorization": ""})

    # A request is counted after its response, but before the next one of its connection.
    assert numbers(alice) - before == {
        ("GET", "/metrics", "200"): 1,
        ("POST", "/tasks", "201"): 2,
        ("POST", "/tasks", "422"): 1,
        ("HEAD", "/tasks/{task_id}", "404"): 1,
        ("OPTIONS", "/tasks", "204"): 1,
        ("GET", "/tasks", "401"): 1,
    }


def test_made_up_paths_and_methods_add_no_labels(alice: httpx2.Client) -> None:
    before = numbers(alice)
    for invented in ("LINK", "PURGE", "SEARCH"):
        alice.get(f"/nowhere/{invented}")
        alice.request(invented, "/tasks")

    assert numbers(alice) - before == {
        ("GET", "/metrics", "200"): 1,
        ("GET", "none", "404"): 3,
        ("other", "/tasks", "405"): 3,
    }


# More than the API serves; any other is no HTTP to the parser.
METHODS = ("LINK", "PURGE", "SEARCH", "PROPFIND", "MKCOL", "REPORT", "LOCK", "TRACE", "ACL", "BIND", "NOTIFY")


def invent(client: httpx2.Client, method: str, what: str) -> None:
    """Send all that a client can invent."""
    good = {**bearer(make_token("alice")), "Content-Type": "application/json"}
    for each in (f"X{what}", method):
        client.request(each, "/tasks", headers=good)
    for path in (
        f"/{what}",
        f"/tasks/{what}",
        f"/docs/{what}",
        f"/docs/errors/{what}",
        f"/workspaces/{what}/members/{what}",
    ):
        client.get(path, headers=good)
    client.get("/tasks", params={what: what, "cursor": what, "order": what}, headers=good)
    client.get("/tasks", headers={"Authorization": f"Bearer {what}"})
    for header in (
        {"alg": "HS256", "kid": what},
        {"alg": what},
        {"alg": "EdDSA", "kid": what},
        {"alg": "HS256", "typ": what},
    ):
        client.get("/tasks", headers=bearer(forge(header)))
    client.get("/tasks", headers=bearer(forge(payload=claims(sub=what, iss=what, aud=what))))
    traced = {"X-Request-ID": what, "traceparent": f"00-{what:0>32}-{what[-4:]:0>16}-01", "tracestate": f"{what}=1"}
    client.get(
        "/tasks", headers=good | traced | {"Origin": f"https://{what}.example", "Accept": f"text/{what}", what: what}
    )
    for content in (f'{{"{what}": 1}}', f'{{"text": "{what}"}}', what):
        client.post("/tasks", content=content, headers=good | {"Idempotency-Key": what})
    client.patch(UNKNOWN, content="{}", headers=good | {"If-Match": f'"{what}"'})
    client.get("/metrics", params={"name[]": what}, headers={"Accept": what, "Host": f"{what}.example"})


def test_nothing_that_a_client_sends_adds_a_series(base_url: str, anonymous: httpx2.Client) -> None:
    invent(anonymous, METHODS[0], "first")
    before = figures(base_url).keys()
    for number, method in enumerate(METHODS[1:]):
        invent(anonymous, method, f"{number}invented")
    assert figures(base_url).keys() == before


def test_the_bounds_fit_a_median_of_two_milliseconds_and_the_longest_request(base_url: str) -> None:
    figures(base_url)
    found = (re.match(r'http_request_duration_seconds_bucket{le="(.*?)"', series) for series in figures(base_url))
    bounds = {float(each[1]) for each in found if each}
    assert len({bound for bound in bounds if bound <= 0.005}) >= 4
    assert 14 < max(bounds - {float("inf")}) < 30


# ---- formats ------------------------------------------------------------------------------------------------


def test_openmetrics_is_there_for_who_asks(anonymous: httpx2.Client) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    response = anonymous.get("/metrics", headers={"Accept": accept})
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "partywall_tokens" in {family.name for family in parse_openmetrics(response.text)}  # type: ignore[no-untyped-call]


def test_head_has_the_headers_and_no_body(anonymous: httpx2.Client) -> None:
    response = anonymous.head("/metrics")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/plain")


# ---- tokens and keys ------------------------------------------------------------------------------------


def tokens(address: str) -> Counter[str]:
    now = figures(address)
    return Counter(
        {result: now[f'partywall_tokens_total{{result="{result}"}}'] for result in ("cached", "verified", "refused")}
    )


def test_tokens_are_counted_by_result(base_url: str, anonymous: httpx2.Client) -> None:
    before = tokens(base_url)
    good = make_token("alice")
    for sent in (good, good, good, "nonsense", make_token("alice", lifetime=-60)):
        anonymous.get("/tasks", headers=bearer(sent))
    anonymous.get("/tasks")  # has none
    assert tokens(base_url) - before == {"verified": 1, "cached": 2, "refused": 2}


def test_fetches_of_keys_are_counted_and_their_age_is_known_and_every_metric_that_is_listed_is_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_lifetimes(monkeypatch, 0.2)
    monkeypatch.setattr("api.auth.jwks.COOL_DOWN", 0.05)
    with running() as server:
        chosen = {"jwt_jwks_url": server.url, "jwt_audience": "*"}
        with serving(settings.model_copy(update=chosen)) as address:
            assert httpx2.get(f"{address}/tasks", headers=bearer(token("EdDSA"))).status_code == 200
            before = figures(address)
            assert before['partywall_jwks_fetches_total{result="ok"}'] >= 1
            fetched = before["partywall_jwks_fetched_timestamp_seconds"]
            eventually(lambda: figures(address)["partywall_jwks_fetched_timestamp_seconds"] > fetched)

            families = {re.sub(r"(_bucket|_sum|_count)?({.*)?$", "", series) for series in figures(address)}
            assert {*NAMES} - families <= OF_REPLICA  # another test of this process may have made them

            server.status = 500
            failed = 'partywall_jwks_fetches_total{result="failed"}'
            eventually(lambda: figures(address)[failed] > before[failed] + 1)
            fetched = figures(address)["partywall_jwks_fetched_timestamp_seconds"]
            assert figures(address)["partywall_jwks_fetched_timestamp_seconds"] == fetched


# ---- readiness ----------------------------------------------------------------------------------------------


def reasons(address: str) -> set[str]:
    """Return why nobody is served, and see that the other gauge says whether there is a reason."""
    now = figures(address)
    found = {
        series[len('partywall_not_ready{reason="') : -2]
        for series in now
        if series.startswith("partywall_not_ready{") and now[series]
    }
    assert now["partywall_ready"] == (not found)
    return found


MADE_UP = """
alter view audit.findings rename to earlier;
create view audit.findings as
select 'Alice' as name, 'error' as level, '' as object, '' as detail, '' as remediation, '' as key, '' as fingerprint;
grant select on audit.findings to app_api;
"""


def test_why_nobody_is_served_is_a_code(
    settings: Settings, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 0.2)
    monkeypatch.setattr("api.health.readiness.NOT_READY_INTERVAL", 0.2)
    admin.autocommit = True
    with serving(settings) as address:
        assert reasons(address) == set()
        admin.execute("alter table app.tasks disable row level security")
        eventually(lambda: reasons(address) >= {"rls_disabled"})
        admin.execute("alter table app.tasks enable row level security")
        eventually(lambda: reasons(address) == set())
        admin.execute(MADE_UP)
        eventually(lambda: reasons(address) == {"audit_edited", "other"})
        admin.execute("drop view audit.findings")
        eventually(lambda: reasons(address) == {"audit_unreadable"})


@pytest.mark.parametrize(
    ("role", "statement", "expected"),
    [
        ("app_migrator", "select", "wrong_login"),
        ("app_api", "update migrations.alembic_version set version_num = '0001'", "revision"),
    ],
)
def test_a_login_or_a_revision_that_is_wrong_is_a_code(
    url: Url, admin: psycopg.Connection, role: str, statement: str, expected: str
) -> None:
    admin.execute(statement.encode())
    admin.commit()
    with calling(url(role)) as client:
        assert expected in reasons(str(client.base_url).rstrip("/"))


def test_a_database_that_can_only_be_read_shows(settings: Settings, admin: psycopg.Connection) -> None:
    admin.autocommit = True
    admin.execute(f"alter database {admin.info.dbname} set default_transaction_read_only = on")
    with serving(settings) as address:
        now = figures(address)
        assert (now["partywall_database_read_only"], now["partywall_database_up"], now["partywall_ready"]) == (1, 1, 1)
