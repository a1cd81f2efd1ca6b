"""Rules and dashboard in a real Prometheus that scrapes a real gate at work: each query brings data, nothing pages.

Counters begin under the eyes of Prometheus. Only the day before is made up: what it would have recorded then.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from monitoring.files import names_of_alerts, queries, recorded, rule_files
from monitoring.servers import Prometheus, prometheus
from monitoring.world import CAMPAIGN, Sender, running_sender
from trial.waiting import wait_until

pytestmark = pytest.mark.root
LABELS = {"namespace": "x", "app_kubernetes_io_instance": "x", "pod": "sender-0"}
OF_CAMPAIGN = f'{{namespace="x",app_kubernetes_io_instance="x",campaign="{CAMPAIGN}"'
PATIENCE = 30
MINUTE, HOUR = 60, 3600
VARIABLES = {"$namespace": ".*", "$campaign": ".*", "$__rate_interval": "5s"}


@dataclass
class Scene:
    sender: Sender
    prometheus: Prometheus


def history() -> str:
    """What the rules had recorded the day before: 4 % of 1,000 recipients an hour on the lists."""
    now = int(time.time())
    lines = []
    for name, value in (("hits", 40), ("tries", 1000)):
        metric = f"campaign:sendgate_{name}:sum"
        lines.append(f"# TYPE {metric} gauge")
        times = range(now - 25 * HOUR, now - HOUR - 5 * MINUTE, 5 * MINUTE)
        lines += [f'{metric}{OF_CAMPAIGN},rate="listed"}} {value} {at}' for at in times]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running_sender(tmp_path_factory.mktemp("sender")) as sender:
        folder = tmp_path_factory.mktemp("prometheus")
        with prometheus(folder, sender.gate.ops_port, LABELS, rule_files(), history()) as server:
            wait_until(lambda: server.value("sum(up)") == 1, PATIENCE, "a scrape before the first mail")
            sender.begin()
            with sender.at_work():
                yield Scene(sender, server)


def has_data(server: Prometheus, expression: str) -> bool:
    """Whether a number comes."""
    return any(not math.isnan(float(sample["value"][1])) for sample in server.query(expression))


def is_value(server: Prometheus, expression: str, value: float) -> bool:
    return server.value(expression) == value


def replaced(query: str) -> str:
    """A query as Grafana sends it, with everything chosen."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


@pytest.mark.parametrize(("panel", "query"), queries(), ids=[f"{title}-{i}" for i, (title, _) in enumerate(queries())])
def test_every_query_of_the_dashboard_brings_data(scene: Scene, panel: str, query: str) -> None:
    wait_until(lambda: has_data(scene.prometheus, replaced(query)), PATIENCE, f"data in {panel}: {query}")


@pytest.mark.parametrize(
    "rule", recorded(), ids=lambda rule: "-".join([rule["record"], *rule.get("labels", {}).values()])
)
def test_every_recording_rule_brings_data(scene: Scene, rule: dict[str, dict[str, str]]) -> None:
    labels = ",".join(f'{name}="{value}"' for name, value in rule.get("labels", {}).items())
    query = f"{rule['record']}{{{labels}}}"
    wait_until(lambda: has_data(scene.prometheus, query), PATIENCE, f"data of {query}")


def test_the_first_events_of_a_campaign_are_counted(scene: Scene) -> None:
    wanted = {
        f'campaign:sendgate_trap_hits:increase1h{{campaign="{CAMPAIGN}"}}': 2,
        f'campaign:sendgate_bounces:increase1d{{campaign="{CAMPAIGN}",bounce_type="bad_mailbox"}}': 1,
        f'campaign:sendgate_complaints:increase1d{{campaign="{CAMPAIGN}"}}': 1,
    }
    for query, value in wanted.items():
        wait_until(partial(is_value, scene.prometheus, query, value), PATIENCE, f"{value} from {query}")


def test_an_alert_says_which_campaign_has_hit_a_trap(scene: Scene) -> None:
    firing = 'ALERTS{alertname="SendgateTrapHit",alertstate="firing"}'
    wait_until(lambda: scene.prometheus.query(firing), PATIENCE, "the alert")
    (found,) = scene.prometheus.query(firing)
    assert found["metric"]["campaign"] == CAMPAIGN
    (rule,) = (one for one in scene.prometheus.rules() if one["name"] == "SendgateTrapHit" and one["alerts"])
    (alert,) = rule["alerts"]
    assert alert["annotations"]["summary"] == f"Spam trap in campaign {CAMPAIGN} of x"
    assert re.match(r"2 recipients within an hour", alert["annotations"]["description"])


def test_all_rules_can_be_evaluated_and_none_is_critical(scene: Scene) -> None:
    rules = scene.prometheus.rules()
    assert len([rule for rule in rules if rule["type"] == "alerting"]) == len(names_of_alerts())
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
    assert scene.prometheus.query('max_over_time(ALERTS{severity="critical"}[10m])') == []


def test_a_gate_that_stops_is_seen_as_down(scene: Scene) -> None:
    """The last one: nothing scrapes afterwards."""
    scene.sender.gate.stop()
    pending = 'ALERTS{alertname="SendgateGateDown",severity="critical",alertstate="pending"}'
    wait_until(lambda: scene.prometheus.query(pending), PATIENCE, "the alert waits for its three minutes")
