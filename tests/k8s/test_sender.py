"""The sender pod: who starts before whom, who outlives whom, and how long each has for its end."""

from __future__ import annotations

import pytest

from k8s.rendering import SENDERS, base, environment, overlay
from k8s.workloads import container, pod

GATE_STOPS_WITHIN_SECONDS = 10 + 10
POSTFIX_STOPS_WITHIN_SECONDS = 10 + 5


@pytest.mark.parametrize("name", SENDERS)
def test_the_gate_is_a_sidecar_that_is_ready_before_postfix_starts(name: str) -> None:
    spec = pod(overlay(name), "StatefulSet/sender").spec
    gate = container(overlay(name), "StatefulSet/sender/sendgate")
    assert gate in spec["initContainers"]
    assert gate["restartPolicy"] == "Always"
    assert gate["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert [one["name"] for one in spec["containers"]] == ["postfix"]


def test_all_further_containers_are_sidecars_but_the_one_that_makes_the_key_of_the_demo() -> None:
    for name in SENDERS:
        spec = pod(overlay(name), "StatefulSet/sender").spec
        others = [one["name"] for one in spec["initContainers"] if one.get("restartPolicy") != "Always"]
        assert others == (["make-key"] if name == "demo" else [])


def test_a_gate_that_is_not_ready_is_not_killed_for_it() -> None:
    gate = container(base(), "StatefulSet/sender/sendgate")
    assert gate["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert gate["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_the_first_copy_of_large_lists_has_half_an_hour() -> None:
    probe = container(base(), "StatefulSet/sender/sendgate")["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 1800


@pytest.mark.parametrize("name", SENDERS)
def test_the_grace_period_covers_the_queue_then_postfix_then_the_gate(name: str) -> None:
    spec = pod(overlay(name), "StatefulSet/sender").spec
    postfix = container(overlay(name), "StatefulSet/sender/postfix")
    assert postfix["lifecycle"]["preStop"]["exec"]["command"] == ["postfix-drain"]
    needed = int(environment(overlay(name))["DRAIN_SECONDS"]) + POSTFIX_STOPS_WITHIN_SECONDS + GATE_STOPS_WITHIN_SECONDS
    assert spec["terminationGracePeriodSeconds"] >= needed


def test_both_containers_see_one_socket_and_one_log() -> None:
    mounts = {
        name: {
            mount["name"]: mount["mountPath"]
            for mount in container(base(), f"StatefulSet/sender/{name}")["volumeMounts"]
        }
        for name in ("sendgate", "postfix")
    }
    shared = mounts["sendgate"].items() & mounts["postfix"].items()
    assert dict(shared) == {"run": "/run/sendgate", "log": "/var/log/postfix"}


def test_the_log_volume_has_room_for_the_log_and_two_old_ones() -> None:
    volumes = {one["name"]: one for one in pod(base(), "StatefulSet/sender").spec["volumes"]}
    assert volumes["log"]["emptyDir"]["sizeLimit"] == "512Mi"
    assert 4 * int(environment(base())["LOG_MAX_BYTES"]) <= 512 * 2**20


def test_senders_start_together_and_are_updated_one_by_one() -> None:
    spec = pod(base(), "StatefulSet/sender").workload["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["minReadySeconds"] > 0


@pytest.mark.parametrize("name", SENDERS)
def test_workers_are_counted_and_fit_into_the_memory_of_the_gate(name: str) -> None:
    variables = environment(overlay(name))
    workers = int(variables["SENDGATE_MILTER__WORKERS"])
    assert workers >= 1
    assert variables["SENDGATE_MILTER__WORKER_MEMORY"] == "192MiB"
    gate = container(overlay(name), "StatefulSet/sender/sendgate")
    assert gate["resources"]["limits"]["memory"] == "1Gi"
    # Twice the workers, as while they are replaced, and the other processes.
    assert 2 * workers * 192 + 128 <= 1024
