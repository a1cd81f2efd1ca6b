"""One container, run as a container engine runs it, with nothing but util-linux.

In: an image's root file system and configuration, the container's part of the pod's manifest, mounts, a network
namespace.
Out: a process with a root, a process table, mounts and privileges of its own.

The root is an overlay over the image, so the image is never written; read-only where the manifest says so.
Capabilities, user, groups and no_new_privs are as the manifest has them. Not done: seccomp, limits.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images.store import Image
from trial.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the node at a place in the container."""

    source: Path
    target: str
    read_only: bool = False


class Container:
    """A container that was started; its output is in `log`."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        image: Image,
        environment: Mapping[str, str],
        mounts: Sequence[Mount],
        groups: Sequence[int],
        namespace: str,
        folder: Path,
    ) -> None:
        self.name = spec["name"]
        self.spec = spec
        self.log = folder / "log"
        self.environment = image.environment | dict(environment)
        self._folder = folder
        self._groups = groups
        self._user, self._group = _identity(spec["securityContext"], image)
        self._namespace = namespace
        command = [
            *spec.get("command", image.config.get("Entrypoint", ())),
            *spec.get("args", () if "command" in spec else image.config.get("Cmd", ())),
        ]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork",
                 "--kill-child", "sh", "-euc", self._script(image, mounts, command)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment, start_new_session=True,
            )  # fmt: skip

    @property
    def exit_status(self) -> int | None:
        """None while it runs. A signal is 128 and its number, as engines tell it."""
        status = self._process.poll()
        return status if status is None or status >= 0 else 128 - status

    @property
    def pid(self) -> int:
        """The process that is number 1 inside, as the node numbers it. Raises TimeoutError if there is none yet."""
        try:
            return wait_until(self._process_1, 10, f"{self.name} has a process 1")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.text()}") from None

    def text(self) -> str:
        """What it wrote to standard output and error."""
        return self.log.read_text(errors="replace")

    def inside(self, *command: str) -> list[str]:
        """What enters it and becomes a command there, as `kubectl exec` does."""
        return ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--uts", "--ipc", "--net", "--root", "--wd=/",
                *self._privileges(), *command]  # fmt: skip

    def run(self, *command: str, stdin: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """A command inside."""
        return subprocess.run(
            self.inside(*command),
            input=stdin, capture_output=True, text=True, timeout=timeout, env=self.environment, check=False,
        )  # fmt: skip

    def signal(self, number: int) -> None:
        """Send a signal to process 1."""
        os.kill(self.pid, number)

    def stop(self, grace_seconds: float) -> float:
        """SIGTERM, and SIGKILL after the grace period; returns how long it took, in seconds."""
        began = time.monotonic()
        if self.exit_status is None:
            self.signal(signal.SIGTERM)
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - began

    def kill(self) -> None:
        """End everything in it at once; harmless when it has ended."""
        if self.exit_status is not None:
            return
        try:
            self.signal(signal.SIGKILL)
        except (ProcessLookupError, TimeoutError):
            self._process.kill()
        # Ends after process 1 has, and that one after all others inside.
        self._process.wait()

    def _process_1(self) -> int | None:
        """The first one whose root is the container's: it has left that of the node."""
        for child in _children(self._process.pid):
            with contextlib.suppress(OSError):
                if (Path("/proc") / str(child) / "root").readlink() == self._folder / "root":
                    return child
        return None

    def _script(self, image: Image, mounts: Sequence[Mount], command: Sequence[str]) -> str:
        """The shell that makes the root and becomes the program."""
        root = self._folder / "root"
        for name in ("root", "upper", "work"):
            (self._folder / name).mkdir(exist_ok=True)
        options = f"lowerdir={image.root},upperdir={self._folder / 'upper'},workdir={self._folder / 'work'}"
        lines = [
            "mount --make-rprivate /",
            f"mount -t overlay -o {options} overlay {root}",
            f"cd {root}",
            "mkdir -p proc dev etc sys tmp",
            "mount -t proc proc proc",
            "mount -t tmpfs -o mode=755 tmpfs dev",
            "mkdir dev/shm dev/pts; mount -t tmpfs tmpfs dev/shm",
            "for name in null zero full random urandom tty; do : > dev/$name; mount --bind /dev/$name dev/$name; done",
            "ln -s /proc/self/fd dev/fd; ln -s /proc/self/fd/0 dev/stdin",
            "ln -s /proc/self/fd/1 dev/stdout; ln -s /proc/self/fd/2 dev/stderr",
        ]
        for mount in sorted(mounts, key=lambda mount: mount.target):
            lines += _mount_lines(mount)
        if self.spec["securityContext"].get("readOnlyRootFilesystem"):
            lines.append("mount -o remount,ro,bind . || mount -o remount,ro .")
        whole = shlex.join([*self._privileges(), *command])
        lines.append(f"exec /usr/sbin/chroot . {whole}")
        return "\n".join(lines)

    def _privileges(self) -> list[str]:
        """setpriv(1) with what the manifest allows and no more."""
        capabilities = self.spec["securityContext"].get("capabilities", {})
        added = [f"+{name.lower()}" for name in capabilities.get("add", ())]
        context = self.spec["securityContext"]
        words = ["/usr/bin/setpriv", "--reuid", str(self._user), "--regid", str(self._group), "--inh-caps=-all"]
        words += ["--groups", ",".join(map(str, self._groups))] if self._groups else ["--clear-groups"]
        words.append("--bounding-set=" + ",".join(["-all", *added]))
        return words if context.get("allowPrivilegeEscalation", True) else [*words, "--no-new-privs"]


def _mount_lines(mount: Mount) -> list[str]:
    target = shlex.quote(mount.target.lstrip("/"))
    source = shlex.quote(str(mount.source))
    make = f"mkdir -p {target}" if mount.source.is_dir() else f"mkdir -p $(dirname {target}); : >> {target}"
    lines = [make, f"mount --bind {source} {target}"]
    return [*lines, f"mount -o remount,ro,bind {target}"] if mount.read_only else lines


def _identity(context: Mapping[str, Any], image: Image) -> tuple[int, int]:
    """User and group: the manifest's, else the image's."""
    user, group = image.user
    return int(context.get("runAsUser", user)), int(context.get("runAsGroup", group))


def _children(pid: int) -> list[int]:
    """All processes below one, from `ip` and `unshare` down."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for child in (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split():
            found += [int(child), *_children(int(child))]
    return found
