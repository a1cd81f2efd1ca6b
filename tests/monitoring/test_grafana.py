"""The dashboard in the types that Grafana publishes: every field of it is known there, and kept as it is."""

from __future__ import annotations

import copy
import json
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.files import dashboard

# Grafana shows it in the editor of variables; its types lack it.
LACKING = {"definition"}


def lost(given: Any, kept: Any, place: str = "dashboard") -> list[str]:
    """What is in `given`, and missing or otherwise in `kept`. Defaults may come on top."""
    if isinstance(given, dict) and isinstance(kept, dict):
        missing = [f"{place}.{name}" for name in given.keys() - kept.keys() - LACKING]
        shared = sorted(given.keys() & kept.keys())
        return missing + [found for name in shared for found in lost(given[name], kept[name], f"{place}.{name}")]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        pairs = enumerate(zip(given, kept, strict=True))
        return [found for number, pair in pairs for found in lost(*pair, f"{place}[{number}]")]
    return [] if given == kept else [f"{place}: {given!r} became {kept!r}"]


def test_grafanas_types_know_all_of_the_dashboard() -> None:
    register_default_plugins()
    kept = json.loads(json.dumps(Dashboard.from_json(dashboard()), cls=JSONEncoder))
    assert lost(dashboard(), kept) == []


def test_a_field_that_grafana_does_not_know_is_told() -> None:
    register_default_plugins()
    wrong = copy.deepcopy(dashboard())
    at = next(at for at, panel in enumerate(wrong["panels"]) if "fieldConfig" in panel)
    wrong["panels"][at]["fieldConfig"]["defaults"]["unitt"] = "s"
    kept = json.loads(json.dumps(Dashboard.from_json(wrong), cls=JSONEncoder))
    assert lost(wrong, kept) == [f"dashboard.panels[{at}].fieldConfig.defaults.unitt"]
