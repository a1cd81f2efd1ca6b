"""Alertmanager's configuration: who hears of what, and what is not told beside something worse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from monitoring.files import ALERTMANAGER, names_of_alerts, run
from monitoring.servers import alertmanager, title
from trial.waiting import wait_until

DOWN = {"alertname": "SendgateGateDown", "severity": "critical", "namespace": "x", "pod": "a"}
SLOW = {"alertname": "SendgateSlowDecisions", "severity": "warning", "namespace": "x", "pod": "a"}
STALE = {"alertname": "SendgateReplicaStale", "severity": "warning", "namespace": "x", "pod": "a"}
BAD = {"alertname": "SendgateBadRecipients", "namespace": "x", "campaign": "spring"}
GONE = {"alertname": "SendgateRefusalsGone", "namespace": "x"}


def test_amtool_takes_it() -> None:
    assert "SUCCESS" in run("amtool", "check-config", ALERTMANAGER)


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "page"), ("warning", "ticket"), ("info", "note")])
def test_severity_decides_who_hears_of_it(severity: str, receiver: str) -> None:
    labels = ["alertname=SendgateTrapHit", f"severity={severity}"]
    assert run("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels).strip() == receiver


def test_the_watchdog_goes_to_the_dead_mans_switch_alone_and_again_and_again() -> None:
    labels = ["alertname=SendgateWatchdog", "severity=none"]
    told = run("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels)
    assert told.strip() == "watchdog"
    (route,) = (
        one for one in yaml.safe_load(ALERTMANAGER.read_text())["route"]["routes"] if one["receiver"] == told.strip()
    )
    assert {name: route[name] for name in ("group_wait", "group_interval", "repeat_interval")} == {
        "group_wait": "0s",
        "group_interval": "1m",
        "repeat_interval": "1m",
    }


def test_no_other_alert_reaches_the_switch_and_none_inhibits_it() -> None:
    for alert in {one.severity: one for one in names_of_alerts()}.values():
        labels = [f"alertname={alert.name}", f"severity={alert.severity}"]
        told = run("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels).strip()
        assert (told == "watchdog") == (alert.name == "SendgateWatchdog")
    assert not [one for one in yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"] if "Watchdog" in repr(one)]


def test_alerts_are_grouped_by_namespace_and_campaign() -> None:
    assert yaml.safe_load(ALERTMANAGER.read_text())["route"]["group_by"] == ["namespace", "campaign"]


def test_inhibitions_name_alerts_that_exist() -> None:
    named: set[str] = set()
    for several in re.findall(r'alertname=~?"?(Sendgate[^"\n]+)"', ALERTMANAGER.read_text()):
        head, _, tail = several.partition("(")
        named |= {head + name for name in tail.rstrip(")").split("|")}
    assert {"SendgateGateDown", "SendgateSlowDecisions"} <= named <= {alert.name for alert in names_of_alerts()}


def test_what_follows_from_something_worse_is_not_told(tmp_path: Path) -> None:
    active = [
        DOWN,
        {**SLOW, "pod": "b"},
        {**STALE, "namespace": "y", "severity": "critical"},
        {**BAD, "severity": "critical"},
        {**BAD, "severity": "warning", "campaign": "autumn"},
        {**GONE, "severity": "critical"},
    ]
    suppressed = [
        SLOW,
        STALE,
        {**BAD, "severity": "warning"},
        {**GONE, "severity": "warning", "campaign": "winter"},
        {"alertname": "SendgateRedisAway", "severity": "warning", "namespace": "y", "pod": "a"},
    ]
    wanted = {title(one): "active" for one in active} | {title(one): "suppressed" for one in suppressed}
    with alertmanager(tmp_path, ALERTMANAGER) as server:
        server.tell([*active, *suppressed])
        wait_until(lambda: server.states() == wanted, 20, f"{wanted}")
