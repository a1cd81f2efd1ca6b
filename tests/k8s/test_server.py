"""What an API server, its controllers and a kubelet make of the objects, beyond the schemas.

A second apply that changes nothing, what Pod Security admits, sums of requests, limits that would evict.
"""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from docs.pages import blocks, section
from k8s import rendering
from k8s.api_server import ApiServer
from k8s.quantities import amount, canonical
from k8s.rendering import MANIFESTS, OVERLAYS, SENDERS, Object, named, of_kind, overlay, with_components
from k8s.workloads import Container, Pod, container, containers, pod, pods

FILTERS = ("opendkim", "dmarc-check", "spamassassin")
SETS = {
    "filters": ("shared-lists", "ingress-smtp", "quota", *FILTERS, "queue-autoscaling"),
    "own-lists": ("own-lists", "throwaway-volumes"),
}
FOLDERS = [*OVERLAYS, *SETS]
QUANTITIES = re.compile(r"/(requests|limits|hard|default|defaultRequest)/(?!\d)[^/]+$|/(sizeLimit|averageValue)$")
BASELINE = {
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
}
"""Capabilities that Pod Security `baseline` lets a container add."""
RESTRICTED_VOLUMES = {"configMap", "downwardAPI", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
# kubectl replaces its selector each time; nothing changes.
ALWAYS_SENT = "/poddisruptionbudgets/sender"
ANNOTATION_LIMIT = 256 * 1024


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Everything in a value that has no parts, with its path."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from leaves(one, f"{path}/{key}")
    elif isinstance(value, list) and value:
        for number, one in enumerate(value):
            yield from leaves(one, f"{path}/{number}")
    else:
        yield path, value


def objects_of(name: str) -> list[Object]:
    return with_components(*SETS[name]) if name in SETS else overlay(name)


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_second_apply_changes_nothing(name: str, tmp_path: Path) -> None:
    """What the server adds to a list that kubectl does not merge, or drops for being empty, would be sent each time.

    The selector of a disruption budget always is; the server finds it unchanged.
    """
    kinds = {(item["apiVersion"], item["kind"]) for item in overlay(name)}
    with ApiServer(kinds).running() as server:
        first, second = (apply(name, server, tmp_path) for _ in range(2))
    assert len(first) == len(second) == len(overlay(name))
    assert [line for line in first if not line.endswith(" created")] == []
    sent = {path.partition("/namespaces/")[2]: patch for path, patch in server.patches.items()}
    assert {path for path in sent if not path.endswith(ALWAYS_SENT)} == set()


def apply(name: str, server: ApiServer, folder: Path) -> list[str]:
    command = [rendering.kubectl(), "--kubeconfig=/dev/null", f"--cache-dir={folder}", "apply", "--validate=false"]
    place = [f"--server=http://127.0.0.1:{server.port}", "-k", str(MANIFESTS / "overlays" / name)]
    done = subprocess.run([*command, *place], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_second_apply_finds_quantities_as_the_server_writes_them(name: str) -> None:
    found = [(path, value) for item in objects_of(name) for path, value in leaves(item) if QUANTITIES.search(path)]
    assert [(path, value) for path, value in found if str(value) != canonical(value)] == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_apply_remembers_of_an_object_fits_into_its_annotation(name: str) -> None:
    assert max(len(json.dumps(item)) for item in overlay(name)) < ANNOTATION_LIMIT


@pytest.mark.parametrize("name", FOLDERS)
def test_nothing_is_applied_whose_pods_cannot_be_changed(name: str) -> None:
    """The template of a Job is immutable: with another image or ConfigMap the next apply would fail."""
    assert of_kind(objects_of(name), "Job", "Pod", "ReplicaSet") == []


def test_older_kubectls_take_every_patch_file() -> None:
    """Before 1.31 kubectl takes one document in each."""
    files = {path for path in MANIFESTS.rglob("*.yaml") if is_patch(path)}
    assert files
    assert [str(path) for path in files if len(list(yaml.safe_load_all(path.read_text(encoding="utf-8")))) != 1] == []


def is_patch(path: Path) -> bool:
    for folder in (path.parent, path.parent.parent):
        file = folder / "kustomization.yaml"
        if file.exists():
            patches = yaml.safe_load(file.read_text(encoding="utf-8")).get("patches", [])
            if any((folder / one["path"]).resolve() == path for one in patches if "path" in one):
                return True
    return False


@pytest.mark.parametrize("name", FOLDERS)
def test_pod_security_admits_every_pod(name: str) -> None:
    for one in containers(objects_of(name)):
        context = one.spec["securityContext"]
        assert set(context["capabilities"].get("add", [])) <= BASELINE, one.name
        assert "procMount" not in context and "hostPort" not in str(one.spec.get("ports")), one.name
    for item in pods(objects_of(name)):
        kinds = {key for volume in item.spec.get("volumes", []) for key in volume if key != "name"}
        assert kinds <= RESTRICTED_VOLUMES, item.name
        assert "sysctls" not in item.spec["securityContext"], item.name


@pytest.mark.parametrize("name", FOLDERS)
def test_no_pod_is_evicted_before_its_volumes_are_full(name: str) -> None:
    """The kubelet counts emptyDirs on disk against the sum of the containers' limits."""
    for item in pods(objects_of(name)):
        volumes = [volume["emptyDir"] for volume in item.spec.get("volumes", []) if "emptyDir" in volume]
        held = sum(amount(one["sizeLimit"]) for one in volumes if one.get("medium") != "Memory")
        assert held <= total(item, "limits", "ephemeral-storage"), item.name


def lasting(item: Pod) -> list[Object]:
    sidecars = [one for one in item.spec.get("initContainers", []) if one.get("restartPolicy") == "Always"]
    return [*sidecars, *item.spec["containers"]]


def total(item: Pod, kind: str, resource: str) -> Fraction:
    """What a pod requests, or is limited to, as scheduler and kubelet sum it up."""

    def of(spec: Object) -> Fraction:
        return amount(spec["resources"][kind][resource])

    before = [one for one in item.spec.get("initContainers", []) if one.get("restartPolicy") != "Always"]
    return max([sum(map(of, lasting(item)), Fraction(0)), *map(of, before)])


def test_the_demo_fits_on_a_small_node_beside_the_cluster_itself() -> None:
    """2 CPUs and 4 GiB, of which a cluster of one node takes about 1 CPU; and one more pod, while one is replaced."""
    autoscaler = named(overlay("demo"), "HorizontalPodAutoscaler", "sender")["spec"]
    counts = {"StatefulSet/sender": autoscaler["maxReplicas"]}
    wanted = {
        resource: sum(total(item, "requests", resource) * counts.get(item.name, 1) for item in pods(overlay("demo")))
        for resource in ("cpu", "memory", "ephemeral-storage")
    }
    assert wanted["cpu"] <= amount("900m")
    assert wanted["memory"] <= amount("1536Mi")
    assert wanted["ephemeral-storage"] <= amount("1Gi")


@pytest.mark.parametrize("name", FOLDERS)
def test_services_find_ports_of_sidecars_by_number(name: str) -> None:
    """Before Kubernetes 1.32 names are looked for in containers alone."""
    sidecars = {
        port["name"] for one in containers(objects_of(name)) if one.is_init for port in one.spec.get("ports", [])
    }
    targets = {port["targetPort"] for item in of_kind(objects_of(name), "Service") for port in item["spec"]["ports"]}
    assert sidecars.isdisjoint(targets)


@pytest.mark.parametrize("name", FOLDERS)
def test_port_names_are_short_and_the_only_ones_in_their_pod(name: str) -> None:
    for item in pods(objects_of(name)):
        names = [
            port["name"]
            for one in containers(objects_of(name))
            if one.pod.name == item.name
            for port in one.spec.get("ports", [])
        ]
        assert len(names) == len(set(names)), item.name
        assert [one for one in names if not re.fullmatch(r"[a-z][a-z0-9-]{0,14}", one)] == []


def test_no_sidecar_waits_for_one_that_a_patch_may_put_behind_it() -> None:
    """A strategic merge patch puts the containers that it names to the front.

    spamass-milter listens only while spamd answers; the gate does not start without a store.
    """
    milter = container(overlay("demo"), "StatefulSet/sender/spamass-milter")
    assert "startupProbe" not in milter
    assert {"readinessProbe", "livenessProbe"} <= milter.keys()
    assert [one.name for one in containers(with_components("own-lists")) if one.is_init and not one.lives] == []
    (gate,) = container(with_components("own-lists"), "StatefulSet/sender/sendgate")["command"][2:]
    assert gate.endswith("&& exec sendgate serve")


def test_the_key_of_the_demo_is_made_before_the_filter_that_reads_it() -> None:
    names = [one["name"] for one in pod(overlay("demo"), "StatefulSet/sender").spec["initContainers"]]
    assert names.index("make-key") < names.index("opendkim")


def test_the_demo_imports_its_list_before_the_pod_for_commands_is_ready() -> None:
    lists = pod(overlay("demo"), "Deployment/lists")
    (first,) = lists.spec["initContainers"]
    assert first["args"] == ["import", "/sample/list.csv"]
    assert {one["name"]: one["value"] for one in first["env"]} == {
        one["name"]: one["value"] for one in container(overlay("demo"), "Deployment/lists/lists")["env"]
    }


@pytest.mark.parametrize("name", SENDERS)
def test_a_main_container_that_knows_no_sigterm_has_a_short_grace_period(name: str) -> None:
    def deaf(one: Container) -> bool:
        return one.lives and one.spec.get("command", [""])[0] in ("sleep", "/usr/sbin/smtp-sink")

    found = [one for one in containers(overlay(name)) if deaf(one)]
    assert [one.name for one in found if one.pod.spec["terminationGracePeriodSeconds"] > 1] == []


def test_archives_of_images_have_the_names_that_nodes_look_for(tmp_path: Path) -> None:
    """The README's way to a node without a registry, with an empty image in place of ours."""
    text = section((MANIFESTS / "README.md").read_text(encoding="utf-8"), "Images without a registry")
    (script,) = blocks(text, "sh")
    store = ["--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs"]
    names = {one.spec["image"] for folder in SENDERS for one in containers(overlay(folder))}
    made = buildah(*store, "from", "scratch").strip()
    buildah(*store, "commit", "-q", made, "localhost/" + sorted(names)[0])
    for name in sorted(names)[1:]:
        buildah(*store, "tag", "localhost/" + sorted(names)[0], f"localhost/{name}")
    (push,) = re.findall(r"^ +buildah (push .*)$", script, re.MULTILINE)
    looked_for = set()
    for image in re.findall(r"[\w-]+", re.findall(r"for image in (.*);", script)[0]):
        arguments = push.replace("$image.tar", str(tmp_path / f"{image}.tar")).replace("$image", image).split()
        buildah(*store, *arguments)
        with tarfile.open(tmp_path / f"{image}.tar") as archive:
            index = archive.extractfile("index.json")
            assert index
            (manifest,) = json.load(index)["manifests"]
        looked_for.add(manifest["annotations"]["org.opencontainers.image.ref.name"])
    assert looked_for == {f"docker.io/library/{name}" for name in names}


def buildah(*arguments: str) -> str:
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
