"""The components as Kustomize renders them: labels that match the sender's, configuration that the programs take."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from monitoring.files import ALERTMANAGER, PLAIN, ROOT, RULES, dashboard, rendered, rule_files, run
from monitoring.servers import answers, running
from trial.ports import LOOPBACK, free_port
from trial.waiting import wait_until

BASE = ROOT / "k8s" / "base"
# What every DNS server of Kubernetes answers for a pod of a headless Service.
POD = "sender-3.sender-pods.campaign-x.svc.cluster.local.:9102"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return rendered("prometheus", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return rendered("monitoring", tmp_path_factory.mktemp("operated"))


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The object of a kind whose name is this one, with or without a hash."""
    pattern = re.compile(rf"{name}(-[a-z0-9]{{10}})?")
    (found,) = (thing for thing in objects if thing["kind"] == kind and pattern.fullmatch(thing["metadata"]["name"]))
    return found


def base(kind: str, name: str) -> dict[str, Any]:
    files = ("statefulset.yaml", "services.yaml")
    return one([thing for path in files for thing in yaml.safe_load_all((BASE / path).read_text())], kind, name)


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [thing["spec"]["template"] for thing in objects if thing["kind"] == "Deployment"]


def test_kubernetes_knows_every_field(plain: list[dict[str, Any]]) -> None:
    for thing in plain:
        kubernetes_validate.validate(thing, "1.34", strict=True)


def test_the_pod_monitor_finds_the_pods_and_the_port_of_the_sender(operated: list[dict[str, Any]]) -> None:
    spec = one(operated, "PodMonitor", "sendgate")["spec"]
    template = base("StatefulSet", "sender")["spec"]["template"]
    assert spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert set(spec["podTargetLabels"]) <= template["metadata"]["labels"].keys()
    ports = {port["name"] for container in template["spec"]["initContainers"] for port in container["ports"]}
    assert {endpoint["port"] for endpoint in spec["podMetricsEndpoints"]} <= ports
    (endpoint,) = spec["podMetricsEndpoints"]
    assert {"targetLabel": "job", "replacement": "sendgate"} in endpoint["relabelings"]


def test_rules_are_about_the_statefulset_and_the_volumes_of_the_sender() -> None:
    text = (RULES / "gate.rules.yaml").read_text()
    sender = base("StatefulSet", "sender")
    assert f'statefulset="{sender["metadata"]["name"]}"' in text
    claims = {claim["metadata"]["name"] for claim in sender["spec"]["volumeClaimTemplates"]}
    (told,) = set(re.findall(r'persistentvolumeclaim=~"\((.*?)\)-sender-\.\*"', text))
    assert set(told.split("|")) == claims


def test_grafana_finds_the_dashboard(operated: list[dict[str, Any]]) -> None:
    found = one(operated, "ConfigMap", "sendgate-dashboard")
    assert found["metadata"]["name"] == "sendgate-dashboard"
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert yaml.safe_load(found["data"]["sendgate.json"]) == dashboard()


def test_the_operators_alertmanager_has_the_routes_and_inhibitions_of_the_plain_one(
    operated: list[dict[str, Any]],
) -> None:
    spec = one(operated, "AlertmanagerConfig", "sendgate")["spec"]
    given = yaml.safe_load(ALERTMANAGER.read_text())
    assert [route["receiver"] for route in spec["route"]["routes"]] == [
        route["receiver"] for route in given["route"]["routes"]
    ]
    assert spec["route"]["groupBy"] == given["route"]["group_by"]
    assert [rule["equal"] for rule in spec["inhibitRules"]] == [rule["equal"] for rule in given["inhibit_rules"]]
    written = [
        f'{part["name"]}{part.get("matchType", "=")}"{part["value"]}"'
        for rule in spec["inhibitRules"]
        for part in [*rule["sourceMatch"], *rule["targetMatch"]]
    ]
    assert written == [
        text for rule in given["inhibit_rules"] for text in [*rule["source_matchers"], *rule["target_matchers"]]
    ]
    assert {one["name"] for one in spec["receivers"]} == {one["name"] for one in given["receivers"]}


def test_plain_pods_are_restricted_have_probes_and_limits_and_no_token(plain: list[dict[str, Any]]) -> None:
    assert len(pods(plain)) == 2
    for pod in pods(plain):
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 10004
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
        assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys()


def test_plain_pods_mount_the_configuration_that_is_rendered(plain: list[dict[str, Any]]) -> None:
    names = {thing["metadata"]["name"] for thing in plain if thing["kind"] == "ConfigMap"}
    mounted = set(re.findall(r"'configMap': \{(?:[^{}]*'name'): '([^']+)'", repr(pods(plain))))
    (rules,) = (name for name in names if name.startswith("prometheus-rules-"))
    assert len(names) == 3
    assert mounted | {rules} == names
    assert f"'name': '{rules}'" in repr(pods(plain))


def test_services_network_policies_and_pods_say_the_same_ports(plain: list[dict[str, Any]]) -> None:
    for name, port in (("prometheus", 9090), ("alertmanager", 9093)):
        pod = one(plain, "Deployment", name)["spec"]["template"]
        service = one(plain, "Service", name)["spec"]
        assert service["selector"].items() <= pod["metadata"]["labels"].items()
        assert service["ports"][0]["port"] == port
        (container,) = pod["spec"]["containers"]
        assert container["ports"] == [{"name": "http", "containerPort": port, "protocol": "TCP"}]
        assert f"--web.listen-address=:{port}" in container["command"]
    ports = {
        (base("StatefulSet", "sender")["spec"]["template"]["spec"]["initContainers"][0]["ports"][0]["containerPort"])
    }
    scrape = one(plain, "NetworkPolicy", "scrape-by-prometheus")["spec"]["ingress"][0]
    assert {port["port"] for port in scrape["ports"]} == ports
    assert scrape["from"][0]["podSelector"]["matchLabels"].items() <= pods(plain)[1]["metadata"]["labels"].items()


def test_the_plain_prometheus_takes_its_configuration_with_all_rules(
    plain: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "rules").mkdir()
    for name, text in one(plain, "ConfigMap", "prometheus-rules")["data"].items():
        (tmp_path / "rules" / name).write_text(text)
    config = one(plain, "ConfigMap", "prometheus")["data"]["prometheus.yml"]
    (tmp_path / "prometheus.yml").write_text(config.replace("/etc/prometheus", str(tmp_path)))
    told = run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert told.count("rules found") == len(rule_files())
    mounted = re.findall(r"'path': 'rules/([^']+)'", repr(pods(plain)))
    assert sorted(mounted) == [path.name for path in rule_files()]


@pytest.mark.parametrize(("name", "port"), [("prometheus", 9090), ("alertmanager", 9093)])
def test_a_program_takes_its_command_line_and_answers_its_probes(
    plain: list[dict[str, Any]], tmp_path: Path, name: str, port: int
) -> None:
    (container,) = one(plain, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    own = free_port()
    for file, text in one(plain, "ConfigMap", name)["data"].items():
        (tmp_path / file).write_text(text)
    places = {f"/etc/{name}": str(tmp_path), "/var/lib/prometheus": f"{tmp_path}/data", f":{port}": f"{LOOPBACK}:{own}"}
    command = container["command"]
    for there, here in places.items():
        command = [word.replace(there, here) for word in command]
    with running(command, tmp_path):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            url = f"http://{LOOPBACK}:{own}{container[probe]['httpGet']['path']}"
            wait_until(partial(answers, url), 30, f"{probe} of {name}")


def test_the_plain_prometheus_finds_pods_by_the_service_and_names_them_from_the_dns() -> None:
    job = yaml.safe_load((PLAIN / "prometheus.yml").read_text())["scrape_configs"][0]
    service = base("Service", "sender-pods")
    ports = {port["name"] for port in service["spec"]["ports"]}
    (name,) = job["dns_sd_configs"][0]["names"]
    assert name in {f"_{port}._tcp.{service['metadata']['name']}" for port in ports}
    assert service["spec"]["publishNotReadyAddresses"] is True
    made = {}
    for rule in job["relabel_configs"][:2]:
        match = re.fullmatch(rule["regex"], POD)
        assert match
        made[rule["target_label"]] = match.expand(rule["replacement"].replace("$", "\\"))
    assert made == {"pod": "sender-3", "namespace": "campaign-x"}
