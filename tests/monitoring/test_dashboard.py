"""The dashboard as Grafana reads it: its structure. That its queries bring data is shown in test_live.py."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from monitoring.files import dashboard, panels, queries

UNITS = {"short", "ops", "s", "percentunit", "bytes"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GRAFANAS_OWN = {"__rate_interval"}


def places() -> list[dict[str, int]]:
    return [panel["gridPos"] for panel in dashboard()["panels"]]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_it_has_a_name_of_its_own_and_a_schema_that_grafana_knows() -> None:
    assert dashboard()["uid"] == "sendgate"
    assert dashboard()["title"]
    assert dashboard()["schemaVersion"] == 38


def test_panels_have_numbers_and_titles_of_their_own() -> None:
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    titles = [panel["title"] for panel in dashboard()["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert len(set(titles)) == len(titles)


def test_no_panel_overlaps_another_or_leaves_the_grid() -> None:
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 and place["h"] > 0 for place in places())
    assert not [pair for pair in itertools.combinations(places(), 2) if overlap(*pair)]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_has_unit_datasource_and_targets(panel: dict[str, Any]) -> None:
    assert panel["type"] in ("timeseries", "stat")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == DATASOURCE
    assert panel["targets"]
    assert all(target["datasource"] == DATASOURCE for target in panel["targets"])
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    steps = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert steps[0] is None
    assert steps[1:] == sorted(set(steps[1:]))


def test_variables_are_the_ones_that_queries_use() -> None:
    variables = {one["name"]: one for one in dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "campaign"]
    assert variables["datasource"]["type"] == "datasource"
    assert all(variables[name]["datasource"] == DATASOURCE for name in ("namespace", "campaign"))
    used = {name for _, query in queries() for name in re.findall(r"\$(\w+)", query)}
    assert used - GRAFANAS_OWN == {"namespace", "campaign"}


def test_every_query_is_about_the_namespaces_that_are_chosen() -> None:
    assert [query for _, query in queries() if 'namespace=~"$namespace"' not in query] == []


def test_it_shows_what_a_campaign_is_judged_by() -> None:
    text = " ".join(query for _, query in queries())
    for metric in (
        "sendgate_deliveries", "sendgate_recipients_total", "sendgate_trap_hits", "sendgate_bounces",
        "sendgate_complaints", "sendgate_decision_seconds", "sendgate_replica_age_seconds",
        "sendgate_postfix_queue_messages", "sendgate_workers", "sendgate_origin_up",
    ):  # fmt: skip
        assert metric in text
