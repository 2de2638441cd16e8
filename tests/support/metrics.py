"""What /metrics says, line by line."""

from collections import Counter

import httpx2

from tests.support.servers import NO_TLS


def figures(address: str) -> Counter[str]:
    """Return the value of each series, by its name and labels as Prometheus reads them."""
    response = httpx2.get(f"{address}/metrics", verify=NO_TLS)
    assert response.status_code == 200
    samples = (line.rpartition(" ") for line in response.text.splitlines() if not line.startswith("#"))
    return Counter({series: float(value) for series, _, value in samples})


def requests(address: str, route: str, status: int = 200) -> float:
    """Return how many requests with GET there were."""
    series = f'http_request_duration_seconds_count{{method="GET",route="{route}",status="{status}"}}'
    return figures(address)[series]
