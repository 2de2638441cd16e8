"""The dashboard opens in Grafana as it is meant: nothing overlaps, nothing is undefined, each panel says what it is."""

import json
from collections import Counter
from itertools import product

from tests.support.promql import GRAFANAS, VARIABLE, dashboard

BOARD = dashboard()
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
COLUMNS = 24


def test_each_panel_says_what_it_shows_in_which_unit() -> None:
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith((".", ".)")), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_no_panel_overlaps_another_or_leaves_the_page() -> None:
    covered = Counter(
        cell
        for place in (panel["gridPos"] for panel in BOARD["panels"])
        for cell in product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
    )
    assert set(covered.values()) == {1}
    assert {column for column, _ in covered} == {*range(COLUMNS)}
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    for panel in PANELS:
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_each_variable_in_use_is_defined() -> None:
    used = {name or other for name, other in VARIABLE.findall(json.dumps(BOARD)) if not (name or other).isdecimal()}
    defined = {variable["name"] for variable in BOARD["templating"]["list"]}

    assert used - {*GRAFANAS, "__all"} == defined
