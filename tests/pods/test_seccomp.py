"""The engines' seccomp profile, made into what an OCI runtime takes."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from pods.seccomp import resolved, runtime_default

KERNEL = "6.1.0-13-amd64"


def rule(name: str, **conditions: Any) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": None, **conditions}


def names(*rules: dict[str, Any], capabilities: tuple[str, ...] = (), machine: str = "x86_64") -> list[str]:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "archMap": [], "syscalls": rules}
    return [one["names"][0] for one in resolved(profile, capabilities, machine, KERNEL)["syscalls"]]


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"includes": {}, "excludes": {}}, True),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"includes": {"caps": ["CAP_CHOWN", "CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_BPF"]}}, True),
        ({"excludes": {"caps": ["CAP_CHOWN", "CAP_BPF"]}}, False),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["arm64"]}}, True),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.10"}}, False),
        ({"excludes": {"minKernel": "6.10"}}, True),
        ({"excludes": {"minKernel": "6.1"}}, False),
    ],
)
def test_a_rule_holds_where_its_conditions_do(conditions: dict[str, Any], holds: bool) -> None:
    assert names(rule("chroot", **conditions), capabilities=("CAP_CHOWN",)) == ["chroot"] * holds


def test_the_name_of_an_error_counts_for_more_than_its_number() -> None:
    rules = [rule("a", errno="EINVAL", errnoRet=1), rule("b", errnoRet=0), rule("c")]
    profile = {"defaultAction": "X", "defaultErrno": "ENOSYS", "archMap": [], "syscalls": rules}
    found = resolved(profile, (), "x86_64", KERNEL)
    assert found["defaultErrnoRet"] == errno.ENOSYS
    assert [one.get("errnoRet") for one in found["syscalls"]] == [errno.EINVAL, 0, None]


def test_the_architectures_are_the_machine_s_and_those_below_it() -> None:
    below = {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}
    profile = {"defaultAction": "X", "archMap": [below], "syscalls": []}
    assert resolved(profile, (), "aarch64", KERNEL)["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert resolved(profile, (), "x86_64", KERNEL)["architectures"] == ["SCMP_ARCH_X86_64"]


def test_the_installed_profile_opens_files_by_handle_only_with_the_capability_for_it() -> None:
    def actions(*capabilities: str) -> set[str]:
        rules = runtime_default(capabilities)["syscalls"]
        return {one["action"] for one in rules if "open_by_handle_at" in one["names"]}

    assert "SCMP_ACT_ALLOW" not in actions()
    assert actions("CAP_DAC_READ_SEARCH") == {"SCMP_ACT_ALLOW"}
