"""A sidecar as the kubelet would run it, without one: its command with its mounts, as pid 1 of a root of its own.

In: a container of a manifest, and folders for its volumes. Out: a process with the manifest's uid, no capabilities, a
read-only root, /tmp of its own and the given name server; its log. Refused: TrialError when it does not come up.

Programs and libraries are this machine's (Debian's packages). The group is Postfix's here, as 2525 is in the images.
"""

from __future__ import annotations

import grp
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trial.mta import TrialError
from trial.waiting import wait_until

START_TIMEOUT = 30
STOP_TIMEOUT = 15

_ROOT = """
set -eu
root=$1
mount -t tmpfs -o mode=755 root "$root"
for part in usr bin sbin lib lib64 var dev; do
    if [ -L "/$part" ]; then cp -P "/$part" "$root/$part"
    elif [ -d "/$part" ]; then mkdir "$root/$part"; mount --rbind "/$part" "$root/$part"; fi
done
mkdir "$root/etc" "$root/proc" "$root/tmp"
for part in passwd group nsswitch.conf ld.so.cache ld.so.conf ld.so.conf.d perl ssl services; do
    [ ! -e "/etc/$part" ] || cp -a "/etc/$part" "$root/etc/$part"
done
echo "nameserver $2" > "$root/etc/resolv.conf"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
"""
_MOUNT = """
if [ -d {source} ]; then mkdir -p "$root"{path}
else mkdir -p "$(dirname "$root"{path})"; [ -e "$root"{path} ] || touch "$root"{path}; fi
mount --bind {source} "$root"{path}
"""
_RUN = """
mount -o remount,ro "$root"
cd /
exec chroot "$root" setpriv --reuid={uid} --regid={gid} --clear-groups --no-new-privs --inh-caps=-all \
    --bounding-set=-all env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin {environment} {command}
"""


class Sidecar:
    """One container of a manifest. `volumes`: a folder for each volume but /tmp; `folder`: for its log and its root."""

    def __init__(
        self,
        container: Mapping[str, Any],
        volumes: Mapping[str, Path],
        folder: Path,
        name_server: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name: str = container["name"]
        self._container = container
        self._volumes = volumes
        self._folder = folder
        self._name_server = name_server
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where it listens, on this machine: the manifest's probe connects there."""
        path = Path(self._container["readinessProbe"]["exec"]["command"][-1])
        return self._volumes["filters"] / path.name

    def log_text(self) -> str:
        """All that it wrote to its standard output and error."""
        return (self._folder / f"{self.name}.log").read_text(errors="replace")

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it, and wait until it takes connections. environment: over what it has, this time."""
        root = self._folder / f"{self.name}.root"
        root.mkdir(exist_ok=True)
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"]
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "sh", "-c", self._script(environment or {}), "sh", str(root), self._name_server],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(self._is_up, START_TIMEOUT, f"{self.name} listens")
        except (TimeoutError, TrialError) as error:
            self.kill()
            raise TrialError(f"{error}\n{self.log_text()}") from None

    def kill(self) -> None:
        """SIGKILL to its pid 1, and so to all of it. Its socket stays."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait. Returns its exit status. Harmless when it does not run."""
        return self._end(signal.SIGTERM)

    def answers(self) -> bool:
        """Whether somebody takes connections at its socket."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def pids(self) -> list[int]:
        """All its processes: pid 1 of its name space, and what descends from it."""
        if self._process is None:
            return []
        return _descendants(self._process.pid)

    def _is_up(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise TrialError(f"{self.name} ended at once")
        return self.answers()

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        for child in _children(process.pid):
            os.kill(child, number)
        try:
            return process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()  # takes its child with it
            process.wait()
            raise TrialError(f"{self.name} does not end\n{self.log_text()}") from None

    def _script(self, environment: Mapping[str, str]) -> str:
        mounts = [mount for mount in self._container["volumeMounts"] if mount["mountPath"] != "/tmp"]
        parts = [_ROOT]
        for mount in mounts:
            source = self._volumes[mount["name"]] / mount.get("subPath", "")
            parts.append(_MOUNT.format(source=shlex.quote(str(source)), path=shlex.quote(mount["mountPath"])))
        told = {entry["name"]: entry["value"] for entry in self._container.get("env", [])}
        told |= {**self._environment, **environment}
        run = _RUN.format(
            uid=self._container["securityContext"]["runAsUser"],
            gid=grp.getgrnam("postfix").gr_gid,
            environment=shlex.join(f"{name}={value}" for name, value in told.items()),
            command=shlex.join(self._container["command"]),
        )
        return "".join([*parts, run])


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has just ended
        return []


def _descendants(pid: int) -> list[int]:
    return [found for child in _children(pid) for found in (child, *_descendants(child))]
