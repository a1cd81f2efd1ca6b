"""The default seccomp filter of container engines, as an OCI runtime takes it.

In: the engines' profile, as podman and buildah install it, whose rules hold for some capabilities, machines or kernels
only. Out: `linux.seccomp` of an OCI configuration, with the rules that hold here. Refused: KeyError for a machine or an
error number that nobody knows.
"""

from __future__ import annotations

import errno
import json
import platform
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

PROFILE = Path("/usr/share/containers/seccomp.json")
_MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
}


def runtime_default(capabilities: Collection[str]) -> dict[str, Any]:
    """The filter for a container with these capabilities ("CAP_CHOWN") on this machine."""
    return resolved(json.loads(PROFILE.read_text()), capabilities, platform.machine(), platform.release())


def resolved(profile: Mapping[str, Any], capabilities: Collection[str], machine: str, kernel: str) -> dict[str, Any]:
    """The profile without conditions. machine, kernel: as uname(1) tells them."""
    name, architecture = _MACHINES[machine]
    below = [one["subArchitectures"] for one in profile["archMap"] if one["architecture"] == architecture]
    rules = [rule for rule in profile["syscalls"] if _holds(rule, capabilities, name, kernel)]
    return {
        "defaultAction": profile["defaultAction"],
        **_number(profile, "defaultErrno", "defaultErrnoRet"),
        "architectures": [architecture, *(sub for subs in below for sub in subs or ())],
        "syscalls": [
            {
                "names": rule["names"],
                "action": rule["action"],
                "args": rule.get("args") or [],
                **_number(rule, "errno", "errnoRet"),
            }
            for rule in rules
        ],
    }


def _holds(rule: Mapping[str, Any], capabilities: Collection[str], machine: str, kernel: str) -> bool:
    """All capabilities that it includes, none that it excludes; one of the machines, if it names some."""
    included, excluded = rule.get("includes") or {}, rule.get("excludes") or {}
    return (
        set(included.get("caps") or ()) <= set(capabilities)
        and set(excluded.get("caps") or ()).isdisjoint(capabilities)
        and machine in (included.get("arches") or [machine])
        and machine not in (excluded.get("arches") or ())
        and _version(included.get("minKernel") or "0.0") <= _version(kernel)
        and ("minKernel" not in excluded or _version(excluded["minKernel"]) > _version(kernel))
    )


def _version(kernel: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", kernel)[:2]))


def _number(rule: Mapping[str, Any], name: str, number: str) -> dict[str, int]:
    """The error by its name, which counts for more than its number."""
    if rule.get(name):
        return {number: getattr(errno, rule[name])}
    return {number: rule[number]} if rule.get(number) is not None else {}
