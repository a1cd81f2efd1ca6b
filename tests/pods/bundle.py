"""What an OCI runtime is told of a container: `config.json`, as a container engine writes it for kubelet.

In: the container's part of the pod's manifest, its image, environment, mounts, groups, network. Out: the configuration,
with the privileges, the seccomp filter and the limits of the manifest and what engines add by default. Refused:
ValueError for a seccomp profile from the node, and for what is no quantity.
Left out: requests, limits of ephemeral storage, AppArmor and SELinux.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images.store import Image
from k8s.quantities import amount
from pods import cgroups, seccomp

DEFAULT_CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
    "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
PERIOD = 100_000  # microseconds, in which a container may use its share of the processors


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the node at a place in the container."""

    source: Path
    target: str
    read_only: bool = False


def configuration(
    spec: Mapping[str, Any],
    image: Image,
    environment: Mapping[str, str],
    mounts: Sequence[Mount],
    groups: Sequence[int],
    network: Path,
    cgroup: str,
) -> dict[str, Any]:
    """spec: with the pod's securityContext in the container's. environment: with HOSTNAME, the pod's name.

    The root is the folder `root` beside the file.
    """
    context = spec["securityContext"]
    bounding = _capabilities(context.get("capabilities", {}))
    user, group = image.user
    uid, gid = int(context.get("runAsUser", user)), int(context.get("runAsGroup", group))
    has = bounding if uid == 0 else []  # another user than root gets none of what the container may have
    namespaces: list[dict[str, str]] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    namespaces += [{"type": "cgroup"}] if cgroups.is_unified() else []
    linux: dict[str, Any] = {
        "namespaces": [*namespaces, {"type": "network", "path": str(network)}],
        "cgroupsPath": cgroup,
        "resources": _resources(spec.get("resources", {}).get("limits", {})),
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
    }
    profile = context.get("seccompProfile", {"type": "Unconfined"})["type"]
    if profile == "RuntimeDefault":
        linux["seccomp"] = seccomp.runtime_default(bounding)
    elif profile != "Unconfined":
        raise ValueError(f"{spec['name']}: seccomp profile {profile}")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": uid, "gid": gid, "additionalGids": list(groups)},
            "args": _arguments(spec, image),
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": spec.get("workingDir") or image.config.get("WorkingDir") or "/",
            "capabilities": {"bounding": bounding, "effective": has, "permitted": has},
            "noNewPrivileges": not context.get("allowPrivilegeEscalation", True),
        },
        "root": {"path": "root", "readonly": bool(context.get("readOnlyRootFilesystem"))},
        "hostname": environment["HOSTNAME"],
        "mounts": [*_system_mounts(), *map(_bind, sorted(mounts, key=lambda mount: mount.target))],
        "linux": linux,
    }


def _arguments(spec: Mapping[str, Any], image: Image) -> list[str]:
    """The manifest's command without arguments is without those of the image, too."""
    return [
        *spec.get("command", image.config.get("Entrypoint", ())),
        *spec.get("args", () if "command" in spec else image.config.get("Cmd", ())),
    ]


def _capabilities(wanted: Mapping[str, Sequence[str]]) -> list[str]:
    dropped, added = wanted.get("drop", ()), wanted.get("add", ())
    kept = () if "ALL" in dropped else (name for name in DEFAULT_CAPABILITIES if name not in dropped)
    return sorted({f"CAP_{name}" for name in (*kept, *added)})


def _resources(limits: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}  # the runtime adds the harmless ones
    if "memory" in limits:
        most = int(amount(limits["memory"]))
        found["memory"] = {"limit": most} | ({"swap": most} if cgroups.limits_swap() else {})
        if cgroups.is_unified():
            found["unified"] = {"memory.oom.group": "1"}  # kubelet wants all of the container to end
    if "cpu" in limits:
        found["cpu"] = {"period": PERIOD, "quota": int(amount(limits["cpu"]) * PERIOD)}
    return found


def _system_mounts() -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    return [
        _mount("proc", "/proc", *quiet),
        _mount("tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        _mount("tmpfs", "/dev/shm", *quiet, "mode=1777", "size=65536k"),
        _mount("mqueue", "/dev/mqueue", *quiet),
        _mount("sysfs", "/sys", *quiet, "ro"),
        _mount("cgroup", "/sys/fs/cgroup", *quiet, "relatime", "ro"),
    ]


def _mount(kind: str, target: str, *options: str) -> dict[str, Any]:
    return {"type": kind, "source": kind, "destination": target, "options": options}


def _bind(mount: Mount) -> dict[str, Any]:
    access = "ro" if mount.read_only else "rw"
    return {
        "type": "bind",
        "source": str(mount.source),
        "destination": mount.target,
        "options": ["rbind", "rprivate", access],
    }
