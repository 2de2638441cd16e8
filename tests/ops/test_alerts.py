"""The alert rules: each says how bad it is and where to read on, and was tried by Prometheus' own test runner."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.support.database import ROOT
from tests.support.promql import RULES, dashboard, rules

TESTS = RULES.with_name("alerts_test.yaml")
ANCHOR = re.compile(r"[^\w\- ]")


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_says_how_bad_it_is_what_to_look_at_and_where_to_read_on(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)

    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    assert anchor in {ANCHOR.sub("", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_panels_that_a_description_names_are_on_the_dashboard() -> None:
    named = [
        name
        for rule in rules()
        for name in re.findall(r'(?:panels|and|row) "(.+?)"', rule["annotations"]["description"])
    ]

    assert len(named) > 2
    assert {*named} <= {panel["title"] for panel in dashboard()["panels"]}


def test_the_reason_is_in_the_summary_of_not_ready() -> None:
    [rule] = [rule for rule in rules() if rule["alert"] == "PartywallNotReady"]

    assert "{{ $labels.reason }}" in rule["annotations"]["summary"]


def test_each_alert_is_tried_when_it_fires_and_when_it_does_not() -> None:
    tried = [case for test in yaml.safe_load(TESTS.read_text())["tests"] for case in test["promql_expr_test"]]
    names = {rule["alert"] for rule in rules()}
    for fires in (True, False):
        queries = " ".join(case["expr"] for case in tried if bool(case.get("exp_samples")) == fires)
        assert {*re.findall(r'alertname="(\w+)"', queries)} == names


def test_prometheus_agrees() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    for command in (["check", "config", str(RULES.with_name("prometheus.yaml"))], ["test", "rules", str(TESTS)]):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
