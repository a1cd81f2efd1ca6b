"""What every container of every workload must have, by name; what only Postfix may; and what a namespace says."""

from __future__ import annotations

import re

import pytest

from k8s.quantities import amount
from k8s.rendering import CAMPAIGNS, OVERLAYS, SENDERS, Object, named, of_kind, overlay, with_components
from k8s.workloads import Container, Pod, container, containers, pod, pods

POSTFIX = "StatefulSet/sender/postfix"
CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"]
STARTS_AT_ONCE = {"StatefulSet/sender/spamass-milter"}
SERVES_NOTHING = {"Deployment/client/client", "Deployment/lists/lists"}
FOLDERS = [*OVERLAYS, "filters"]


def objects_of(folder: str) -> list[Object]:
    if folder == "filters":
        return with_components("shared-lists", "opendkim", "dmarc-check", "spamassassin")
    return overlay(folder)


def all_containers() -> list[Container]:
    return [one for folder in FOLDERS for one in containers(objects_of(folder))]


def all_pods() -> list[Pod]:
    return [one for folder in FOLDERS for one in pods(objects_of(folder))]


def without(holds: object, items: list[Container]) -> list[str]:
    assert callable(holds)
    return sorted({one.name for one in items if not holds(one)})


def context(one: Container) -> Object:
    found: Object = one.spec.get("securityContext", {})
    return found


def test_there_are_containers_to_look_at() -> None:
    names = {one.name for one in all_containers()}
    assert {POSTFIX, "StatefulSet/sender/sendgate", "StatefulSet/sender/spamd", "StatefulSet/redis/redis"} <= names


def test_no_container_may_gain_privileges() -> None:
    assert without(lambda one: context(one).get("allowPrivilegeEscalation") is False, all_containers()) == []


def test_every_root_file_system_is_read_only() -> None:
    assert without(lambda one: context(one).get("readOnlyRootFilesystem") is True, all_containers()) == []


def test_every_capability_is_dropped() -> None:
    assert without(lambda one: context(one).get("capabilities", {}).get("drop") == ["ALL"], all_containers()) == []


def test_only_postfix_gets_capabilities_back_and_no_more_than_it_needs() -> None:
    added = {one.name: context(one)["capabilities"].get("add") for one in all_containers()}
    assert {name: what for name, what in added.items() if what} == {POSTFIX: CAPABILITIES}


def test_every_container_but_postfix_runs_as_another_user_than_root() -> None:
    def holds(one: Container) -> bool:
        return context(one).get("runAsNonRoot") is True and int(context(one).get("runAsUser", 0)) >= 1000

    assert without(holds, all_containers()) == [POSTFIX]


def test_every_container_has_the_seccomp_profile_of_the_runtime() -> None:
    wanted = {"type": "RuntimeDefault"}
    assert without(lambda one: context(one).get("seccompProfile") == wanted, all_containers()) == []
    assert [one.name for one in all_pods() if one.spec["securityContext"].get("seccompProfile") != wanted] == []


def test_no_container_is_privileged_and_no_pod_shares_anything_with_its_node() -> None:
    assert without(lambda one: not context(one).get("privileged"), all_containers()) == []
    shared = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
    assert [one.name for one in all_pods() if any(one.spec.get(key) for key in shared)] == []
    volumes = [(one.name, volume) for one in all_pods() for volume in one.spec.get("volumes", [])]
    assert [name for name, volume in volumes if "hostPath" in volume] == []
    assert (
        without(lambda one: not any("hostPort" in port for port in one.spec.get("ports", [])), all_containers()) == []
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_has_a_token(folder: str) -> None:
    accounts = {item["metadata"]["name"]: item for item in of_kind(objects_of(folder), "ServiceAccount")}
    assert [name for name, item in accounts.items() if item.get("automountServiceAccountToken") is not False] == []
    for one in pods(objects_of(folder)):
        assert one.spec.get("automountServiceAccountToken") is False, one.name
        assert one.spec.get("serviceAccountName") in accounts, one.name
    assert of_kind(objects_of(folder), "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding") == []


def test_no_pod_gets_variables_of_services() -> None:
    assert [one.name for one in all_pods() if one.spec.get("enableServiceLinks") is not False] == []


def test_every_container_has_requests_and_limits() -> None:
    def holds(one: Container) -> bool:
        resources = one.spec.get("resources", {})
        kinds = {"cpu", "memory", "ephemeral-storage"}
        return all(kinds <= set(resources.get(key, {})) for key in ("requests", "limits"))

    assert without(holds, all_containers()) == []


def test_every_image_has_a_version() -> None:
    def holds(one: Container) -> bool:
        return re.fullmatch(r"[^:@]+:(?!latest$)[\w.-]+(@sha256:[0-9a-f]{64})?", one.spec["image"]) is not None

    assert without(holds, all_containers()) == []


def test_every_container_that_lives_and_serves_has_three_probes() -> None:
    def holds(one: Container) -> bool:
        startup = set() if one.name in STARTS_AT_ONCE else {"startupProbe"}
        return {*startup, "readinessProbe", "livenessProbe"} <= one.spec.keys()

    lasting = [one for one in all_containers() if one.lives]
    assert set(without(holds, lasting)) == SERVES_NOTHING & {one.name for one in lasting}


def test_every_empty_dir_has_a_limit() -> None:
    volumes = [(one.name, volume) for one in all_pods() for volume in one.spec.get("volumes", [])]
    assert [name for name, volume in volumes if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit")] == []


def test_secrets_are_readable_for_the_group_at_most() -> None:
    volumes = [volume for one in all_pods() for volume in one.spec.get("volumes", []) if "secret" in volume]
    assert volumes
    assert {volume["secret"].get("defaultMode") for volume in volumes} == {0o440}


def test_no_secret_has_values_outside_of_the_demo() -> None:
    assert {name for name in OVERLAYS if of_kind(overlay(name), "Secret")} == {"demo"}
    assert not any(of_kind(with_components(name), "Secret") for name in ("redis", "shared-lists", "opendkim"))


def test_no_secret_is_in_the_environment() -> None:
    sources = [source for one in all_containers() for source in one.spec.get("envFrom", [])]
    variables = [variable for one in all_containers() for variable in one.spec.get("env", [])]
    assert [source for source in sources if "secretRef" in source] == []
    assert [variable for variable in variables if "secretKeyRef" in variable.get("valueFrom", {})] == []


@pytest.mark.parametrize("name", SENDERS)
def test_a_namespace_enforces_baseline_and_tells_what_is_not_restricted(name: str) -> None:
    (namespace,) = of_kind(overlay(name), "Namespace")
    levels = {key: namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{key}"] for key in ("enforce", "warn")}
    assert levels == {"enforce": "baseline", "warn": "restricted"}


@pytest.mark.parametrize("name", SENDERS)
def test_all_objects_are_in_the_namespace_of_their_overlay(name: str) -> None:
    (namespace,) = of_kind(overlay(name), "Namespace")
    others = [item for item in overlay(name) if item["kind"] != "Namespace"]
    assert {item["metadata"].get("namespace") for item in others} == {namespace["metadata"]["name"]}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_gate_shares_sockets_by_group_and_does_not_walk_over_the_queue(folder: str) -> None:
    for one in pods(objects_of(folder)):
        if one.name == "StatefulSet/sender":
            security = one.spec["securityContext"]
            assert (security["fsGroup"], security["fsGroupChangePolicy"]) == (2525, "OnRootMismatch")


@pytest.mark.parametrize("folder", [*CAMPAIGNS, "production"])
def test_a_sender_sees_no_more_of_the_shared_secrets_than_it_needs(folder: str) -> None:
    secrets = [v["secret"] for v in pod(overlay(folder), "StatefulSet/sender").spec["volumes"] if "secret" in v]
    seen = {one["secretName"]: [item["key"] for item in one["items"]] for one in secrets if "items" in one}
    assert seen == {"sendgate-redis": ["sweep-password"], "sendgate-redis-tls": ["ca.crt"]}
    assert [one["secretName"] for one in secrets if "items" not in one] == ["sendgate-secrets"]


def test_postfix_can_connect_to_sockets_but_not_replace_them() -> None:
    mounts = container(objects_of("filters"), POSTFIX)["volumeMounts"]
    assert {mount["name"] for mount in mounts if mount.get("readOnly")} == {"run", "filters"}


def test_the_campaigns_quota_has_room_for_all_pods() -> None:
    for name in CAMPAIGNS:
        hard = named(overlay(name), "ResourceQuota", "sender")["spec"]["hard"]
        most = named(overlay(name), "HorizontalPodAutoscaler", "sender")["spec"]["maxReplicas"]
        requests = [one.spec["resources"]["requests"] for one in containers(overlay(name))]
        assert int(hard["pods"]) >= most
        assert amount(hard["requests.cpu"]) >= most * sum(amount(one["cpu"]) for one in requests)
        assert amount(hard["requests.memory"]) >= most * sum(amount(one["memory"]) for one in requests)
