"""A campaign's overlay: short enough to copy, and with nothing that another one has."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from docs.pages import blocks, docs, section
from k8s import rendering
from k8s.rendering import CAMPAIGNS, MANIFESTS, Object, environment, named, of_kind, overlay
from k8s.test_schemas import mistakes
from k8s.workloads import containers, pod, strings

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


def copied(folder: Path) -> Path:
    """The overlay campaign-x in a copy of the manifests, to change."""
    shutil.copytree(MANIFESTS, folder / "k8s")
    return folder / "k8s" / "overlays" / "campaign-x"


def appended(overlay_folder: Path, text: str) -> list[Object]:
    file = overlay_folder / "kustomization.yaml"
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")
    return rendering.kustomize(overlay_folder)


def test_a_value_that_no_campaign_knows_is_an_error(tmp_path: Path) -> None:
    """Else somebody who puts dry run there goes live without a word."""
    with pytest.raises(rendering.RenderError, match="unknown values in ConfigMap campaign"):
        appended(copied(tmp_path), "      - SENDGATE_OBSERVE__ALL=true\n")


def test_dry_run_as_documented_is_dry_run(tmp_path: Path) -> None:
    (text,) = blocks(section(docs("kubernetes.md"), "A campaign"), "yml")
    objects = appended(copied(tmp_path), text.partition("configMapGenerator:\n")[2])
    assert environment(objects)["SENDGATE_OBSERVE__ALL"] == "true"


def test_the_ranges_of_clients_as_documented_are_in_all_three_places(tmp_path: Path) -> None:
    readme = (MANIFESTS / "README.md").read_text(encoding="utf-8")
    (text,) = blocks(section(readme, "A campaign"), "yml")
    objects = appended(copied(tmp_path), text.removeprefix("configMapGenerator:\n"))
    assert mistakes(objects) == []
    given = "203.0.113.0/24"
    assert environment(objects)["POSTFIX_MYNETWORKS"].split()[-1] == given
    assert named(objects, "Service", "smtp-ingress")["spec"]["loadBalancerSourceRanges"] == [given]
    (rule,) = named(objects, "NetworkPolicy", "smtp-in-ingress")["spec"]["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": given}}]
    assert "192.0.2.0/24" not in list(strings(objects))


def test_no_config_map_is_pruned_with_the_patch_of_the_readme(tmp_path: Path) -> None:
    (text,) = blocks(section((MANIFESTS / "README.md").read_text(encoding="utf-8"), "Apply"), "yml")
    maps = of_kind(appended(copied(tmp_path), text), "ConfigMap")
    assert len(maps) == 2
    for one in maps:
        assert one["metadata"]["annotations"] == {
            "argocd.argoproj.io/sync-options": "Prune=false",
            "kustomize.toolkit.fluxcd.io/prune": "disabled",
        }


def test_one_campaign_has_a_component_as_documented(tmp_path: Path) -> None:
    """With values of its own for what the component brings, and the image where all others are."""
    folder = copied(tmp_path)
    (parts, values) = blocks(
        section((MANIFESTS / "README.md").read_text(encoding="utf-8"), "The order of things"), "yml"
    )
    images = tmp_path / "k8s" / "components" / "images" / "kustomization.yaml"
    text = images.read_text(encoding="utf-8").replace("newName: sendgate", "newName: registry.example.com/sendgate")
    images.write_text(text, encoding="utf-8")
    (folder / "parts").mkdir()
    (folder / "parts" / "kustomization.yaml").write_text(parts, encoding="utf-8")
    (folder / "signing-table").write_text("*@shop.example s1\n", encoding="utf-8")
    file = folder / "kustomization.yaml"
    changed = file.read_text(encoding="utf-8").replace("resources: [../../campaign]\n", "")
    head, _, generators = values.partition("configMapGenerator:\n")
    file.write_text(
        changed.replace("configMapGenerator:\n", f"{head}configMapGenerator:\n{generators}"), encoding="utf-8"
    )
    objects = rendering.kustomize(folder)
    assert named(objects, "ConfigMap", "opendkim")["data"]["signing-table"] == "*@shop.example s1\n"
    found = [one.spec["image"] for one in containers(objects)]
    assert len(found) == 3
    assert [image for image in found if not image.startswith("registry.example.com/")] == []
