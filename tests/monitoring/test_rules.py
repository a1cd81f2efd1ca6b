"""The rules as files: they are valid, each alert has cases and a section in the runbook, the operator has the same."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.pages import anchor, docs, headings, rows, section
from monitoring.files import CASES, GENERATE, MONITORING, Alert, alerts, names_of_alerts, recorded, rule_files, run
from sendgate.settings import StoreSettings

RUNBOOK = docs("alerts.md")
CASE = re.compile(r'ALERTS\{alertname="(\w+)"(?:,severity="(\w+)")?')
# Of others: Prometheus itself, Kubernetes, and a metric that comes with a later version.
FOREIGN = {"up", "ALERTS", "kube_statefulset_replicas", "sendgate_ip_listed"}
# Fires always, so no case of it is silent.
WATCHDOG = Alert("SendgateWatchdog", "none")
NAME = re.compile(r"\b(?:sendgate_\w+|kube\w+|up)\b(?=[{\[\s)])")
FIRST_VALUE = """\
sum by (namespace, app_kubernetes_io_instance, {labels}) (
    increase({counter}[{window}])
  or
    label_replace(
      (min_over_time({counter}[{window}]) unless {counter} offset {window})
      and (
        count_over_time({counter}[{window}])
        < on (job, namespace, pod, instance) group_left ()
          sum by (job, namespace, pod, instance) (sum_over_time(up{{job="sendgate"}}[{window}]))
      ),
      "first", "value", "", ""
    )
)
"""
# Traps alone: what a new pod has at its first scrape is new.
OF_A_NEW_POD = """\
        or
          count_over_time(sendgate_trap_hits_total[1h])
          and on (namespace) up{job="sendgate"} offset 1h
          unless on (job, namespace, pod, instance) up{job="sendgate"} offset 1h
"""


def checks(case: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = case.get("promql_expr_test", [])
    return found


@cache
def files_of_cases(pattern: str = "*.yaml") -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted(CASES.glob(pattern))]


@cache
def cases() -> list[tuple[str, str, bool]]:
    """Alert, severity ("" for any), and whether it is to fire."""
    wanted = [check for file in files_of_cases() for case in file["tests"] for check in checks(case)]
    found = [(CASE.search(check["expr"]), check) for check in wanted]
    return [
        (match[1], severity, bool(check["exp_samples"]))
        for match, check in found
        if match
        for severity in severities(match[2], check)
    ]


def severities(given: str | None, check: dict[str, Any]) -> list[str]:
    """What a check is about: the severity it names, or those that it expects; with none of both, any."""
    return [given] if given else re.findall(r'severity="(\w+)"', repr(check["exp_samples"])) or [""]


def title(rule: dict[str, Any]) -> str:
    """An alert, in the name of a test."""
    return f"{rule['alert']}-{rule['labels']['severity']}"


@pytest.mark.parametrize("path", rule_files(), ids=lambda path: path.name)
def test_prometheus_takes_the_rules(path: Path) -> None:
    assert "SUCCESS" in run("promtool", "check", "rules", path)


@pytest.mark.parametrize("path", sorted(CASES.glob("*.yaml")), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_are_silent_else(path: Path) -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", path)


@pytest.mark.parametrize("alert", names_of_alerts(), ids="-".join)
def test_each_alert_has_a_case_that_fires_and_one_that_is_silent(alert: Alert) -> None:
    about = {fires for name, severity, fires in cases() if name == alert.name and severity in ("", alert.severity)}
    assert about == ({True} if alert == WATCHDOG else {True, False})


@pytest.mark.parametrize("rule", [rule for rule in alerts() if "for" in rule], ids=title)
def test_the_time_an_alert_waits_is_pinned_to_the_minute(rule: dict[str, Any]) -> None:
    firing = f'count(ALERTS{{alertname="{rule["alert"]}",severity="{rule["labels"]["severity"]}",alertstate="firing"}})'
    files = files_of_cases("for*.yaml")
    assert {file["evaluation_interval"] for file in files} == {"1m"}
    found = [check for file in files for case in file["tests"] for check in checks(case) if check["expr"] == firing]
    at = {bool(check["exp_samples"]): int(check["eval_time"].removesuffix("m")) for check in found}
    assert at.keys() == {True, False}
    assert at[True] - at[False] == 1


def test_cases_are_about_alerts_that_exist() -> None:
    assert {name for name, _, _ in cases()} == {alert.name for alert in names_of_alerts()}


def test_no_alert_is_there_twice() -> None:
    assert len(set(names_of_alerts())) == len(names_of_alerts())


def test_each_alert_has_a_section_in_the_runbook_and_each_section_an_alert() -> None:
    assert [name for name in headings(RUNBOOK) if name.startswith("Sendgate")] == [
        name for name in headings(RUNBOOK) if name in {alert.name for alert in names_of_alerts()}
    ]
    assert {alert.name for alert in names_of_alerts()} <= set(headings(RUNBOOK))


@pytest.mark.parametrize("name", sorted({alert.name for alert in names_of_alerts()}))
def test_a_section_tells_severities_meaning_look_remedy_and_end(name: str) -> None:
    table = {row[0]: row[1] for row in rows(section(RUNBOOK, name)) if row[0]}
    assert list(table) == ["severity", "means", "look", "do", "silent"]
    told = set(re.findall(r"\b(critical|warning|info|none)\b", table["severity"]))
    assert told == {alert.severity for alert in names_of_alerts() if alert.name == name}


@pytest.mark.parametrize("name", sorted({alert.name for alert in names_of_alerts()}))
def test_a_section_begins_with_what_is_at_stake_and_commands_that_name_namespace_and_container(name: str) -> None:
    begins = re.match(
        r"\s*([A-Z][^\n`|]*(?:`[^`]+`[^\n`|]*)*\.)\n\n```sh\n(.+?)\n```\n\n\| \| \|", section(RUNBOOK, name), re.DOTALL
    )
    assert begins
    assert "curl" not in begins[2]
    run("bash", "-n", "-c", begins[2])
    commands = [line for line in begins[2].splitlines() if line.startswith("kubectl")]
    assert commands
    for command in commands:
        assert re.match(r"kubectl (-n (NAMESPACE|sendgate) |get pod -A )", command)
        if re.search(r" (logs|exec) ", command):
            assert re.search(r" -c (sendgate|postfix|redis) | exec deploy/lists -- ", command), command


@pytest.mark.parametrize("rule", alerts(), ids=title)
def test_an_alert_says_what_is_wrong_and_where_its_section_is(rule: dict[str, Any]) -> None:
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info", "none")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{anchor(rule['alert'])}"


def test_rules_name_only_metrics_that_are_documented() -> None:
    documented = set(re.findall(r"`(sendgate_\w+)`", docs("metrics.md")))
    for rule in [*alerts(), *recorded()]:
        names = set(NAME.findall(re.sub(r"\w+:sendgate_\w+(:\w+)?", "", rule["expr"])))
        names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names if not name.startswith("kubelet_volume")}
        assert names <= documented | FOREIGN, rule


def test_rules_name_only_values_of_labels_that_are_documented() -> None:
    told = set(re.findall(r"`(\w+)`", docs("metrics.md")))
    for rule in [*alerts(), *recorded()]:
        matchers = re.findall(r'(bounce_type|cause|decision|queue|reason|result)[=!]~?"([^"]+)"', rule["expr"])
        assert {value for _, values in matchers for value in values.split("|")} <= told, rule


def test_the_age_of_a_replica_is_held_against_the_default_of_the_settings() -> None:
    default = StoreSettings.model_fields["max_staleness"].default
    found = [rule["expr"] for rule in alerts() if rule["alert"] == "SendgateReplicaStale"]
    shares = [re.fullmatch(r"sendgate_replica_age_seconds > (0\.\d) \* (\d+) \* (\d+)", expr) for expr in found]
    assert [match[1] for match in shares if match and int(match[2]) * int(match[3]) == default] == ["0.5", "0.9"]


def test_each_counter_of_campaigns_is_counted_from_its_first_value() -> None:
    increases = [rule for rule in recorded() if ":increase" in rule["record"]]
    assert len(increases) == 8
    for rule in increases:
        _, metric, window = rule["record"].split(":")
        labels = re.match(r"sum by \(namespace, app_kubernetes_io_instance, ([\w, ]+)\)", rule["expr"])
        assert labels
        wanted = FIRST_VALUE.format(labels=labels[1], counter=f"{metric}_total", window=window.removeprefix("increase"))
        assert rule["expr"].replace(OF_A_NEW_POD, "") == wanted


def test_no_alert_on_a_campaign_counts_without_the_first_value() -> None:
    assert not [
        rule for rule in alerts() if re.search(r"increase\(sendgate_(recip|trap|deliv|boun|compl)", rule["expr"])
    ]


def test_what_is_made_from_the_rules_is_up_to_date() -> None:
    run(sys.executable, GENERATE, "--check")


def test_the_operator_gets_all_rules_and_a_prefix_goes_before_the_runbook() -> None:
    made = yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())
    groups = [group for path in rule_files() for group in yaml.safe_load(path.read_text())["groups"]]
    assert made["spec"]["groups"] == groups
    code = "from generate import prometheus_rule as made; print(made('https://git.example.com/'))"
    told = run(sys.executable, "-c", f"import sys; sys.path.insert(0, {str(MONITORING)!r}); {code}")
    assert told.count("'https://git.example.com/docs/alerts.md#") == len(names_of_alerts())
