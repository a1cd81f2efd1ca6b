"""One container, run as a container engine runs it: by runc, from an OCI bundle.

In: an image's root file system and configuration, the container's part of the pod's manifest, mounts, a network
namespace, a folder of its own. Out: a process with the root, process table, mounts, privileges, seccomp filter and
limits of the manifest.

The root is an overlay over the image, so the image is never written; it is mounted where nobody else sees it, and goes
with the container. As on a node, the container outlives who started it: who starts one ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from images.store import Image
from pods import cgroups
from pods.bundle import Mount, configuration
from trial.waiting import wait_until


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
        self._id = f"{self.name}-{uuid.uuid4().hex[:12]}"
        self._runc = [shutil.which("runc") or "runc", "--root", str(folder / "runc")]
        told = configuration(
            spec,
            image,
            self.environment,
            mounts,
            groups,
            Path("/run/netns") / namespace,
            f"{cgroups.parent()}/{self._id}",
        )
        (folder / "config.json").write_text(json.dumps(told))
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-euc", self._script(image)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    @property
    def exit_status(self) -> int | None:
        """None while it runs. A signal is 128 and its number, as engines tell it."""
        status = self._process.poll()
        return status if status is None or status >= 0 else 128 - status

    @property
    def pid(self) -> int:
        """The process that is number 1 inside, as the node numbers it. Raises TimeoutError if there is none yet, and
        ProcessLookupError if there is none any more."""
        try:
            wait_until(lambda: self._pid_file.exists() or self.exit_status is not None, 10, f"{self.name} has begun")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.text()}") from None
        if self.exit_status is not None:
            raise ProcessLookupError(f"{self.name} has ended with {self.exit_status}\n{self.text()}")
        return int(self._pid_file.read_text())

    def text(self) -> str:
        """What it wrote to standard output and error."""
        return self.log.read_text(errors="replace")

    def inside(self, *command: str) -> list[str]:
        """What enters it and becomes a command there, with its privileges and no others, as `kubectl exec` does."""
        assert self.pid
        return [*self._runc, "exec", self._id, *command]

    def run(self, *command: str, stdin: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """A command inside."""
        return subprocess.run(
            self.inside(*command), input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )

    def signal(self, number: int) -> None:
        """Send a signal to process 1."""
        os.kill(self.pid, number)

    def stop(self, grace_seconds: float) -> float:
        """SIGTERM, and SIGKILL after the grace period; returns how long it took, in seconds."""
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
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
        except ProcessLookupError:
            pass  # it is about to end
        except TimeoutError:
            self._process.kill()
            subprocess.run([*self._runc, "delete", "--force", self._id], check=False, capture_output=True)
        # Ends after process 1 has, and that one after all others inside; the control groups are gone then.
        self._process.wait()

    @property
    def _pid_file(self) -> Path:
        return self._folder / "pid"

    def _script(self, image: Image) -> str:
        """The shell that makes the root and becomes the runtime."""
        for name in ("root", "upper", "work"):
            (self._folder / name).mkdir(exist_ok=True)
        options = f"lowerdir={image.root},upperdir={self._folder / 'upper'},workdir={self._folder / 'work'}"
        mount = ["mount", "-t", "overlay", "-o", options, "overlay", str(self._folder / "root")]
        run = [*self._runc, "run", "--bundle", str(self._folder), "--pid-file", str(self._pid_file), self._id]
        return f"{shlex.join(mount)}\nexec {shlex.join(run)}"
