"""What names something, names something that is there: selectors, ports, ConfigMaps, Secrets, volumes, accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from k8s.rendering import MANIFESTS, SENDERS, Object, named, of_kind, overlay, with_components
from k8s.workloads import Pod, container, containers, pod, pods, selects

EXTERNAL_SECRETS = {
    "sendgate-redis": {"sweep-password", "write-password", "users.acl"},
    "sendgate-redis-tls": {"ca.crt", "tls.crt", "tls.key"},
    "sendgate-secrets": set(),
    "opendkim-keys": set(),
}
"""Secrets that the manifests name and somebody makes, with the keys that the manifests name."""
ALL = [*SENDERS, "components"]


def objects_of(folder: str) -> list[Object]:
    if folder == "components":
        names = ("redis", "shared-lists", "ingress-smtp", "quota", "opendkim", "dmarc-check", "spamassassin")
        return with_components(*names, "queue-autoscaling")
    return overlay(folder)


def volume_sources(one: Pod, kind: str) -> Iterator[Object]:
    for volume in one.spec.get("volumes", []):
        if kind in volume:
            yield volume[kind]


@pytest.mark.parametrize("folder", ALL)
def test_config_maps_that_are_named_are_there_and_have_a_hash(folder: str) -> None:
    there = {item["metadata"]["name"]: item["data"] for item in of_kind(objects_of(folder), "ConfigMap")}
    wanted = {source["name"] for one in pods(objects_of(folder)) for source in volume_sources(one, "configMap")}
    for one in containers(objects_of(folder)):
        wanted |= {source["configMapRef"]["name"] for source in one.spec.get("envFrom", [])}
    assert wanted <= there.keys()
    assert [name for name in wanted if not re.search(r"-[a-z0-9]{10}$", name)] == []


@pytest.mark.parametrize("folder", ALL)
def test_secrets_that_are_named_are_generated_or_known_to_be_made_by_hand(folder: str) -> None:
    there = {item["metadata"]["name"]: item["data"].keys() for item in of_kind(objects_of(folder), "Secret")}
    known = {**EXTERNAL_SECRETS, **there}
    for one in pods(objects_of(folder)):
        for source in volume_sources(one, "secret"):
            assert source["secretName"] in known, one.name
            keys = {item["key"] for item in source.get("items", [])}
            assert keys <= set(known[source["secretName"]]), one.name


def test_the_demo_needs_no_secret_but_its_own() -> None:
    there = {item["metadata"]["name"] for item in of_kind(overlay("demo"), "Secret")}
    wanted = [source for one in pods(overlay("demo")) for source in volume_sources(one, "secret")]
    assert {source["secretName"] for source in wanted if not source.get("optional")} == there


def test_the_readme_says_how_each_secret_is_made() -> None:
    text = (MANIFESTS / "README.md").read_text(encoding="utf-8")
    for name, keys in EXTERNAL_SECRETS.items():
        assert re.search(rf"kubectl .*create secret (generic|tls) {name}\b", text), name
        assert [key for key in keys if key not in text] == []


@pytest.mark.parametrize("folder", ALL)
def test_every_mount_has_its_volume_and_every_volume_its_mount(folder: str) -> None:
    for one in pods(objects_of(folder)):
        claims = {claim["metadata"]["name"] for claim in one.workload["spec"].get("volumeClaimTemplates", [])}
        volumes = [volume["name"] for volume in one.spec.get("volumes", [])]
        mounts = [
            mount["name"]
            for key in ("initContainers", "containers")
            for spec in one.spec.get(key, [])
            for mount in spec.get("volumeMounts", [])
        ]
        assert set(mounts) == claims | set(volumes), one.name
        assert claims.isdisjoint(volumes), one.name


@pytest.mark.parametrize("folder", ALL)
def test_no_container_mounts_two_things_in_one_place(folder: str) -> None:
    for one in containers(objects_of(folder)):
        paths = [mount["mountPath"] for mount in one.spec.get("volumeMounts", [])]
        assert len(paths) == len(set(paths)), one.name


@pytest.mark.parametrize("folder", ALL)
def test_a_workload_selects_its_own_pods_and_no_others(folder: str) -> None:
    for one in pods(objects_of(folder)):
        if one.workload["kind"] != "Job":
            selector = one.workload["spec"]["selector"]
            assert [other.name for other in pods(objects_of(folder)) if selects(selector, other.labels)] == [one.name]


@pytest.mark.parametrize("folder", ALL)
def test_selectors_have_no_label_that_a_new_version_or_campaign_changes(folder: str) -> None:
    kept = {"app.kubernetes.io/name", "app.kubernetes.io/component"}
    for one in pods(objects_of(folder)):
        assert one.workload["spec"].get("selector", {}).get("matchLabels", {}).keys() <= kept, one.name
        claims = one.workload["spec"].get("volumeClaimTemplates", [])
        assert [claim["metadata"] for claim in claims if set(claim["metadata"]) != {"name"}] == []


@pytest.mark.parametrize("folder", ALL)
def test_a_service_selects_a_workload_that_has_the_port(folder: str) -> None:
    for item in of_kind(objects_of(folder), "Service"):
        chosen = [
            one for one in pods(objects_of(folder)) if selects({"matchLabels": item["spec"]["selector"]}, one.labels)
        ]
        assert len(chosen) == 1, item["metadata"]["name"]
        names = {
            port["name"]: port["containerPort"]
            for one in containers(objects_of(folder))
            if one.pod.name == chosen[0].name
            for port in one.spec.get("ports", [])
        }
        for port in item["spec"]["ports"]:
            target = names.get(port["targetPort"], port["targetPort"])
            assert target in names.values(), item["metadata"]["name"]
            if item["spec"].get("clusterIP") == "None":
                assert port["port"] == target, "a headless Service maps no ports"


@pytest.mark.parametrize("folder", ALL)
def test_a_stateful_set_is_governed_by_a_headless_service(folder: str) -> None:
    for item in of_kind(objects_of(folder), "StatefulSet"):
        service = named(objects_of(folder), "Service", item["spec"]["serviceName"])
        assert service["spec"]["clusterIP"] == "None"
        assert service["spec"]["publishNotReadyAddresses"] is True
        assert selects({"matchLabels": service["spec"]["selector"]}, item["spec"]["template"]["metadata"]["labels"])


@pytest.mark.parametrize("folder", ALL)
def test_probes_ask_ports_of_their_own_container(folder: str) -> None:
    for one in containers(objects_of(folder)):
        names = {port["name"] for port in one.spec.get("ports", [])}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = one.spec.get(kind, {})
            asked = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port")
            assert asked is None or asked in names, one.name


@pytest.mark.parametrize("folder", ALL)
def test_the_autoscaler_owns_the_number_of_senders(folder: str) -> None:
    spec = named(objects_of(folder), "HorizontalPodAutoscaler", "sender")["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "sender"}
    sender = pod(objects_of(folder), "StatefulSet/sender")
    assert "replicas" not in sender.workload["spec"]
    assert spec["minReplicas"] <= spec["maxReplicas"]
    for metric in spec["metrics"]:
        if metric["type"] == "ContainerResource":
            name = metric["containerResource"]["container"]
            assert "cpu" in container(objects_of(folder), f"{sender.name}/{name}")["resources"]["requests"]


def test_lists_of_its_own_has_one_pod_alone() -> None:
    """A second one would pass whom only the first one knows."""
    spec = named(with_components("own-lists"), "HorizontalPodAutoscaler", "sender")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 1)


@pytest.mark.parametrize("folder", ALL)
def test_the_autoscaler_goes_down_slowly(folder: str) -> None:
    down = named(objects_of(folder), "HorizontalPodAutoscaler", "sender")["spec"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == 3600
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 900}]


@pytest.mark.parametrize("folder", ALL)
def test_the_disruption_budget_lets_one_sender_go_at_a_time(folder: str) -> None:
    spec = named(objects_of(folder), "PodDisruptionBudget", "sender")["spec"]
    assert spec["maxUnavailable"] == 1
    assert [one.name for one in pods(objects_of(folder)) if selects(spec["selector"], one.labels)] == [
        "StatefulSet/sender"
    ]


@pytest.mark.parametrize("folder", ALL)
def test_senders_are_spread_by_labels_that_they_have(folder: str) -> None:
    sender = pod(objects_of(folder), "StatefulSet/sender")
    spread = sender.spec["topologySpreadConstraints"]
    keys = {one["topologyKey"] for one in spread}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert all(selects(one["labelSelector"], sender.labels) for one in spread)
    assert {one["whenUnsatisfiable"] for one in spread} == {"ScheduleAnyway"}


@pytest.mark.parametrize("folder", ["production", "campaign-x", "campaign-y"])
def test_volumes_outlive_their_pods(folder: str) -> None:
    for item in of_kind(overlay(folder), "StatefulSet"):
        assert item["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
        assert item["spec"]["volumeClaimTemplates"]
