"""What /metrics counts."""

from collections import Counter

import httpx2
from prometheus_client.parser import text_string_to_metric_families

UNKNOWN = "/tasks/01900000-0000-7000-8000-000000000000"


def numbers(client: httpx2.Client) -> Counter[tuple[str, str, str]]:
    """Return how many requests of each kind there were: method, route, status."""
    response = client.get("/metrics", headers={"Authorization": ""})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    [seconds] = [
        family
        for family in text_string_to_metric_families(response.text)
        if family.name == "http_request_duration_seconds"
    ]
    return Counter(
        {
            (sample.labels["method"], sample.labels["route"], sample.labels["status"]): int(sample.value)
            for sample in seconds.samples
            if sample.name.endswith("_count")
        }
    )


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
