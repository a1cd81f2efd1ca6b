"""Runs a program in an image's root file system as Kubernetes would, with nothing but util-linux.

In: an image, folders to mount, the user, capabilities, environment. Out: the command to start, whose process becomes
the program itself: its process id, signals and exit status are the program's.

The root is read-only. User, groups, capabilities and no_new_privs are as in the manifests; network and, unless
`own_pids`, process table are the machine's.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from images.store import Image

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
FROM_THE_NODE = ("/etc/resolv.conf", "/etc/hosts")


@dataclass(frozen=True)
class Container:
    """mounts: folders of the machine by their place inside. empty: places with a new empty folder each.

    capabilities: names as in a manifest. own_pids: the program is process 1.
    """

    image: Image
    mounts: Mapping[Path, str] = field(default_factory=dict)
    empty: Sequence[str] = ("/tmp",)
    user: tuple[int, int] | None = None
    groups: Sequence[int] = ()
    capabilities: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    own_pids: bool = False

    def command(self, *program: str) -> list[str]:
        """What runs this program."""
        namespaces = ["--mount", *(["--pid", "--fork", "--kill-child"] if self.own_pids else [])]
        return ["unshare", "--propagation=private", *namespaces, "sh", "-euc", self._script(program)]

    def command_inside(self, pid: int, *program: str) -> list[str]:
        """What runs a program beside another one, as `kubectl exec` does. pid: as `inner_pid` tells it."""
        return ["nsenter", f"--target={pid}", "--mount", "--pid", "--root", "--wd=/", *self._privileged(program)]

    def _script(self, program: Sequence[str]) -> str:
        lines = [
            f"cd {shlex.quote(str(self.image.root))}",
            "mount --bind . .",
            f"cd {shlex.quote(str(self.image.root))}",
            "mkdir -p proc dev " + " ".join(shlex.quote(place.lstrip("/")) for place in self.empty),
            "touch " + " ".join(place.lstrip("/") for place in FROM_THE_NODE),
            "mount -t proc proc proc",
            "mount -t tmpfs -o mode=755 tmpfs dev",
            f"for name in {' '.join(DEVICES)}; do : > dev/$name; mount --bind /dev/$name dev/$name; done",
            "mkdir dev/shm",
            "mount -t tmpfs tmpfs dev/shm",
            "ln -s /proc/self/fd dev/fd",
            *(f"mount --bind {place} .{place}" for place in FROM_THE_NODE),
            *(f"mount -t tmpfs -o mode=1777 tmpfs {shlex.quote(place.lstrip('/'))}" for place in self.empty),
        ]
        for source, place in self.mounts.items():
            target = shlex.quote(place.lstrip("/"))
            lines += [f"mkdir -p {target}", f"mount --bind {shlex.quote(str(source))} {target}"]
        lines.append("mount -o remount,bind,ro .")
        whole = shlex.join(["/usr/sbin/chroot", ".", *self._privileged(program)])
        return "\n".join([*lines, f"exec {whole}"])

    def _privileged(self, program: Sequence[str]) -> list[str]:
        user, group = self.user or self.image.user
        kept = "".join(f",+{name.lower()}" for name in self.capabilities)
        groups = f"--groups={','.join(map(str, self.groups))}" if self.groups else "--clear-groups"
        rights = ["--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all{kept}"]
        environment = {"HOME": "/"} | self.image.environment | dict(self.environment)
        variables = [f"{name}={value}" for name, value in environment.items()]
        return [
            "/usr/bin/setpriv",
            f"--reuid={user}",
            f"--regid={group}",
            groups,
            *rights,
            "env",
            "-i",
            *variables,
            *program,
        ]


def inner_pid(outer: int) -> int:
    """Process 1 of a container with a process table of its own, by the process that was started."""
    children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    if not children:
        raise ProcessLookupError(f"process {outer} has no child")
    return int(children[0])
