"""The Grafana dashboard "Sendgate: campaigns at a glance".

In: panels.py. Out: `dashboard()`, the object that Grafana imports. Refused: nothing.

A program rather than JSON by hand: identifiers, places and what all panels have in common come from one place, so that
a panel is three lines in panels.py and forty in the file, and moving one up moves the others down.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from panels import ROWS, Panel

SCHEMA = 38  # Grafana 10; later ones read it, too
WIDTH = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    """The whole of it."""
    return {
        "uid": "sendgate",
        "title": "Sendgate: campaigns at a glance",
        "tags": ["sendgate", "mail"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": _variables()},
        "panels": list(_placed()),
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0},
        _variable("namespace", 'label_values(up{job="sendgate"}, namespace)'),
        _variable("campaign", 'label_values(sendgate_recipients_total{namespace=~"$namespace"}, campaign)'),
    ]


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # at each change of the time range
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def _placed() -> Iterator[dict[str, Any]]:
    """All panels with numbers and places: from left to right, then below."""
    number, top = 1, 0
    for row in ROWS:
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        number, top = number + 1, top + 1
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                left, top, tallest = 0, top + tallest, 0
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": panel.height})
            number, left, tallest = number + 1, left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [_target(panel, at) for at in range(len(panel.queries))],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _target(panel: Panel, at: int) -> dict[str, Any]:
    expression, legend = panel.queries[at]
    instant = panel.kind == "stat"
    return {
        "refId": chr(ord("A") + at),
        "datasource": DATASOURCE,
        "expr": expression,
        "legendFormat": legend or "__auto",
        "instant": instant,
        "range": not instant,
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    colours: list[dict[str, str | float | None]] = [{"color": "green", "value": None}]
    if panel.limits:
        yellow, red = panel.limits
        colours += [{"color": "orange", "value": yellow}] if yellow != red else []
        colours += [{"color": "red", "value": red}]
    made: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": colours},
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
    }
    if panel.highest is not None:
        made["max"] = panel.highest
    if panel.kind == "timeseries":
        made["custom"] = {
            "fillOpacity": 20 if panel.stacked else 0,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.limits else "off"},
        }
    return made


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "background"}
    return {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
