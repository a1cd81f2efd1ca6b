"""A campaign's overlay: short enough to copy, and with nothing that another one has."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from k8s import rendering
from k8s.rendering import CAMPAIGNS, MANIFESTS, Object, environment, named, of_kind, overlay
from k8s.workloads import pod, strings

OWN_LABELS = ("app.kubernetes.io/instance", "sendgate.io/campaign", "sendgate.io/address-pool")


def own(objects: list[Object]) -> set[str]:
    """What tells this campaign from others."""
    (namespace,) = of_kind(objects, "Namespace")
    variables = environment(objects)
    labels = pod(objects, "StatefulSet/sender").labels
    annotations = named(objects, "Service", "smtp-ingress")["metadata"]["annotations"]
    return {
        namespace["metadata"]["name"],
        variables["CAMPAIGN_ID"],
        variables["POSTFIX_MYHOSTNAME"],
        *(labels[key] for key in OWN_LABELS),
        *annotations.values(),
    }


def test_there_are_two_campaigns_to_copy() -> None:
    assert CAMPAIGNS == ["campaign-x", "campaign-y"]


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_is_one_file_of_at_most_fifteen_lines(name: str) -> None:
    folder = MANIFESTS / "overlays" / name
    assert [path.name for path in folder.iterdir()] == ["kustomization.yaml"]
    lines = (folder / "kustomization.yaml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 15
    assert max(map(len, lines)) <= 120


def test_campaigns_share_no_namespace_name_host_or_label_of_their_own() -> None:
    for one, other in combinations(CAMPAIGNS, 2):
        assert own(overlay(one)).isdisjoint(own(overlay(other)))


def test_campaigns_share_no_object() -> None:
    keys = [
        {(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in overlay(name)}
        for name in (*CAMPAIGNS, "production", "demo", "monitoring")
    ]
    assert sum(map(len, keys)) == len(set().union(*keys))


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_the_campaign_is_on_everything_of_its_sender(name: str) -> None:
    campaign = environment(overlay(name))["CAMPAIGN_ID"]
    labels = [item["metadata"]["labels"]["app.kubernetes.io/instance"] for item in overlay(name)]
    assert set(labels) == {campaign}
    assert pod(overlay(name), "StatefulSet/sender").labels["sendgate.io/campaign"] == campaign


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_no_value_of_the_base_is_left(name: str) -> None:
    left = {"default", "sender.example.com"}
    kept = [item for item in overlay(name) if item["kind"] in ("ConfigMap", "StatefulSet", "Service", "Namespace")]
    metadata = [item["metadata"] for item in kept] + [item["data"] for item in of_kind(kept, "ConfigMap")]
    assert left.isdisjoint(strings(metadata))
    assert of_kind(overlay(name), "ConfigMap")
    assert "campaign" not in {item["metadata"]["name"].rpartition("-")[0] for item in of_kind(kept, "ConfigMap")}


def test_a_campaign_has_no_lists_of_its_own() -> None:
    for name in CAMPAIGNS:
        assert environment(overlay(name))["SENDGATE_STORE__URL"] == "rediss://sendgate-sweep@redis.sendgate.svc:6379/0"
        assert [item["metadata"]["name"] for item in of_kind(overlay(name), "StatefulSet")] == ["sender"]


def test_a_copy_with_other_values_is_another_campaign(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "k8s")
    folder = tmp_path / "k8s" / "overlays" / "campaign-z"
    shutil.copytree(MANIFESTS / "overlays" / "campaign-x", folder)
    file = folder / "kustomization.yaml"
    text = file.read_text(encoding="utf-8").replace("campaign-x", "campaign-z").replace("x.sender", "z.sender")
    file.write_text(text.replace("QUOTA_PODS=4", "QUOTA_PODS=9"), encoding="utf-8")
    objects = rendering.kustomize(folder)
    assert own(objects).isdisjoint(own(overlay("campaign-x")))
    assert named(objects, "HorizontalPodAutoscaler", "sender")["spec"]["maxReplicas"] == 9
    assert named(objects, "ResourceQuota", "sender")["spec"]["hard"]["pods"] == "9"


def test_a_campaign_may_be_called_like_a_number(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "k8s")
    file = tmp_path / "k8s" / "overlays" / "campaign-x" / "kustomization.yaml"
    text = file.read_text(encoding="utf-8").replace("CAMPAIGN_ID=campaign-x", "CAMPAIGN_ID=2026")
    file.write_text(text.replace("ADDRESS_POOL=campaign-x", "ADDRESS_POOL=true"), encoding="utf-8")
    objects = rendering.kustomize(file.parent)
    assert {"2026", "true"} <= own(objects)
    labels = [item["metadata"]["labels"] for item in objects]
    assert all(isinstance(value, str) for one in labels for value in one.values())


def test_a_value_that_is_missing_is_an_error(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "k8s")
    file = tmp_path / "k8s" / "overlays" / "campaign-x" / "kustomization.yaml"
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    values["configMapGenerator"][0]["literals"].remove("HOSTNAME=x.sender.example.com")
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(rendering.RenderError, match="HOSTNAME"):
        rendering.kustomize(file.parent)
