"""The dashboard and the alert rules ask for what the app exports: a name that changes is a panel that stays empty."""

from collections.abc import Iterator

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.observability.metrics import replica_lag
from api.settings import Settings
from tests.support.keyserver import running
from tests.support.promql import OF_PROMETHEUS, OF_SCRAPES, Known, Query, Series, labels_of, queries, series
from tests.support.servers import serving
from tests.support.tokens import bearer, make_token


@pytest.fixture
def exported(settings: Settings) -> Iterator[Known]:
    """Return what a scrape has of an app that fetches keys and has a replica, if none that is a standby."""
    replica_lag()
    with running() as keys:
        more = {"jwt_jwks_url": keys.url, "jwt_audience": "*", "database_replica_url": settings.database_url}
        with serving(settings.model_copy(update=more)) as address:
            httpx2.get(f"{address}/tasks", headers=bearer(make_token("alice")))
            yield series([*text_string_to_metric_families(httpx2.get(f"{address}/metrics").text)])


def problem(query: Query, known: Known) -> str:
    try:
        missing = query.shown - labels_of(query.parse(), known)
    except (LookupError, TypeError, ValueError) as error:
        return f"{query.where}: {error}"
    return f"{query.where} shows {', '.join(missing)}, which its series do not have" if missing else ""


def test_the_dashboard_and_the_rules_ask_for_what_the_app_exports(exported: Known) -> None:
    asked = [*queries()]

    assert len(asked) > 50
    assert [*filter(None, (problem(query, exported) for query in asked))] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rate(up[5m])", "up is no counter"),
        ("max_over_time(seconds_bucket[5m])", "seconds_bucket is a counter: take its rate()"),
        ("sum(up{colour='red'})", "up: there is no label colour"),
        ("sum by (colour) (up)", "by: there is no label colour"),
        ("histogram_quantile(0.9, sum(rate(seconds_bucket[5m])))", "histogram_quantile: there is no label le"),
        ('ALERTS{alertstate="burning"}', "never has {('alertstate', 'burning')}"),
        ("waiting", "waiting is not exported"),
        ("sum(up) by", "invalid promql query"),
        ("sum by (job) (up)", "shows instance, which its series do not have"),
    ],
)
def test_what_is_wrong_with_a_query_is_told(text: str, why: str) -> None:
    known = OF_PROMETHEUS | {"seconds_bucket": Series(counts=True, labels=OF_SCRAPES | {"le"})}

    assert why in problem(Query("a panel", text, frozenset({"instance"})), known)
