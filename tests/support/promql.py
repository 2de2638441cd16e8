"""What the dashboard and the alert rules ask of Prometheus, and what of that a scrape can give."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import promql_parser as promql
import yaml
from prometheus_client import Metric

from tests.support.database import ROOT

RULES = ROOT / "ops/prometheus/alerts.yaml"
DASHBOARD = ROOT / "ops/grafana/partywall.json"

TEMPLATE = re.compile(r"\{\{ *(?:\$labels\.)?(\w+) *\}\}")  # {{reason}} in a legend, {{ $labels.reason }} in a rule
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
GRAFANAS = {"__rate_interval": "5m", "__range": "1h"}


class Series(NamedTuple):
    """A kind of series."""

    counts: bool  # a counter, or part of a histogram: only its rate says something
    labels: frozenset[str]
    values: frozenset[tuple[str, str]] = frozenset()  # of labels


Known = Mapping[str, Series]
OF_SCRAPES = frozenset({"job", "instance"})  # Prometheus adds them to every series
ANY = OF_SCRAPES | {"sqlstate", "status"}  # labels of which a scrape does not have every value
OF_PROMETHEUS = {
    "up": Series(counts=False, labels=OF_SCRAPES),
    "ALERTS": Series(
        counts=False,
        labels=frozenset({"alertname", "alertstate", "reason", "sqlstate", "instance"}),
        values=frozenset({("alertstate", "firing")}),
    ),
}


@dataclass(frozen=True)
class Query:
    """An expression, where it is, and the labels that the text beside it shows."""

    where: str
    text: str
    shown: frozenset[str]

    def parse(self) -> promql.Expr:
        """Return its tree. Raises ValueError."""
        return promql.parse(VARIABLE.sub(lambda name: GRAFANAS.get(name[1] or name[2], name[0]), self.text))


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def queries() -> Iterator[Query]:
    """Yield every expression of the rules and of the dashboard."""
    for rule in rules():
        yield _query(rule["alert"], rule["expr"], rule["annotations"]["summary"])
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield _query(f"panel {panel['title']}", target["expr"], target["legendFormat"])
    for annotation in board["annotations"]["list"]:
        yield _query("annotations", annotation["expr"], annotation["titleFormat"])
    for variable in board["templating"]["list"]:
        if asked := re.fullmatch(r"label_values\((.+), (\w+)\)", str(variable.get("definition"))):
            yield Query(f"variable {variable['name']}", asked[1], frozenset([asked[2]]))


def _query(where: str, text: str, shows: str) -> Query:
    return Query(where, text, frozenset(TEMPLATE.findall(shows)))


def series(families: list[Metric]) -> Known:
    """Return every kind of series of a scrape by its name."""
    found = OF_PROMETHEUS | {}
    for family in families:
        counts = family.type in {"counter", "histogram"}
        for sample in family.samples:
            _, labels, values = found.get(sample.name, Series(counts, OF_SCRAPES))
            found[sample.name] = Series(counts, labels | sample.labels.keys(), values | sample.labels.items())
    return found


def labels_of(node: promql.Expr, known: Known) -> frozenset[str]:
    """Return the labels that the series of an expression have.

    Raises LookupError for what is not in a scrape, TypeError for a rate of a gauge, or a counter without rate().
    """
    match node:
        case promql.VectorSelector():
            return _selected(node, known, counts=False)
        case promql.MatrixSelector():
            return _selected(node.vector_selector, known, counts=False)
        case promql.Call():
            return _called(node, known)
        case promql.AggregateExpr():
            return _only(node.modifier.labels if node.modifier else [], labels_of(node.expr, known), "by")
        case promql.BinaryExpr(lhs=promql.VectorSelector() as each) if str(node.op) == "unless":  # whether it is there
            return _selected(each, known, counts=True)
        case promql.BinaryExpr():
            return labels_of(node.lhs, known) | labels_of(node.rhs, known)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return labels_of(node.expr, known)
    return frozenset()  # a number, a string


def _selected(node: promql.VectorSelector, known: Known, *, counts: bool) -> frozenset[str]:
    name = node.name or ""
    if name not in known:
        raise LookupError(f"{name} is not exported")
    if known[name].counts != counts:
        raise TypeError(f"{name} is {'no counter' if counts else 'a counter: take its rate()'}")
    matchers = node.matchers.matchers
    _only([matcher.name for matcher in matchers], known[name].labels, name)
    equal = {(each.name, each.value) for each in matchers if each.op == promql.MatchOp.Equal and each.name not in ANY}
    if unknown := equal - known[name].values:
        raise LookupError(f"{name} never has {unknown}")
    return known[name].labels


def _called(node: promql.Call, known: Known) -> frozenset[str]:
    name = node.func.name
    if name in {"rate", "increase"}:
        return _selected(node.args[0].vector_selector, known, counts=True)
    given = frozenset[str]().union(*(labels_of(argument, known) for argument in node.args))
    if name == "histogram_quantile":
        return given - _only(["le"], given, name)
    if name == "label_replace":
        return given | {node.args[1].val}
    return frozenset() if name == "scalar" else given


def _only(asked: Iterable[str], there: frozenset[str], where: str) -> frozenset[str]:
    if missing := {*asked} - there:
        raise LookupError(f"{where}: there is no label {', '.join(sorted(missing))}")
    return frozenset(asked)
