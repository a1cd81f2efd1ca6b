"""The parts of an SMTP dialogue, out of the images: a gate, a Postfix that its entrypoint starts, and both as an arena.

In: as in `smtp.arena`, `trial.gate` and `trial.mta`. What differs: the gate's folder is /run/sendgate for Postfix, the
socket is for Postfix's group alone, and main.cf comes from the environment. The milter is always the Unix socket, which
Postfix's image insists on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from images.root import Container, inner_pid
from images.store import REPOSITORY, Image, Images
from smtp.arena import Arena, make_gate
from smtp.variants import Variant
from trial.gate import Gate, merged
from trial.mta import STOP_TIMEOUT, Postfix, TrialError
from trial.ports import LOOPBACK
from trial.waiting import wait_until

POSTFIX = 2525


class ImageGate(Gate):
    """`sendgate` from its image, with a read-only root."""

    def __init__(
        self, image: Image, settings: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        private = {"milter": {"socket_mode": "0660"}}
        super().__init__(merged(private, settings or {}), environment)
        mounts = {self.folder: str(self.folder)}
        self._container = Container(image, mounts, environment=dict(environment or {}))

    def own_pids(self) -> None:
        """From here on its programs are process 1, each of a process table of its own."""
        self._container = replace(self._container, own_pids=True)

    def command(self, *arguments: str) -> list[str]:
        return self._container.command(*self._container.image.config["Entrypoint"], *arguments)

    def make_store(self) -> None:
        self._give()
        super().make_store()

    def start(self, *, wait: bool = True) -> None:
        self._give()
        super().start(wait=wait)

    def _give(self) -> None:
        """The volume is the user's, whoever wrote to it before."""
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, *self._container.image.user)


class ImagePostfix(Postfix):
    """Postfix from its image, started by the entrypoint, configured by the environment, on a gate's folder."""

    owner = POSTFIX

    def __init__(self, image: Image, gate: Path, overrides: Mapping[str, str], relayhost: str) -> None:
        super().__init__(None, overrides, relayhost)
        self.exit_status: int | None = None
        self._image = image
        self._gate = gate

    @property
    def log(self) -> Path:
        return self.folder / "log" / "maillog"

    @property
    def container(self) -> Container:
        """Where it runs, with the capabilities that the manifest gives it."""
        places = {"etc": "/etc/postfix", "log": "/var/log/postfix", "spool": "/srv/spool", "data": "/var/lib/postfix"}
        mounts = {self.folder / name: place for name, place in places.items()}
        mounts |= {self._gate: "/run/sendgate", self.folder: str(self.folder)}
        return Container(
            self._image,
            mounts,
            groups=[POSTFIX],
            capabilities=manifest_capabilities(),
            environment=self._given(),
            own_pids=True,
        )

    def _configure(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trial-mta-"))
        self.folder.chmod(0o755)
        for name in ("etc", "log", "spool", "data"):
            (self.folder / name).mkdir()
            (self.folder / name).chmod(0o2777)  # an emptyDir with fsGroup
            os.chown(self.folder / name, 0, POSTFIX)

    def _given(self) -> dict[str, str]:
        """Its environment: what `Postfix` writes into main.cf, but for the places, which are Kubernetes' own."""
        elsewhere = ("queue_directory", "data_directory", "maillog_file", "maillog_file_prefixes", "smtpd_milters")
        settings = {name: value for name, value in self._settings().items() if name not in elsewhere}
        settings |= {"queue_directory": "/srv/spool/postfix", "inet_interfaces": LOOPBACK}
        parameters = {f"POSTFIX_{name.upper()}": value for name, value in settings.items()}
        return parameters | {"SMTP_PORT": str(self.port), "SHOWQ_PORT": ""}

    def _launch(self) -> subprocess.Popen[bytes]:
        with (self.folder / "start.err").open("wb") as output:
            return subprocess.Popen(
                self.container.command(*self._image.config["Entrypoint"]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _run(self, command: str, *arguments: str) -> str:
        assert self._process
        inside = self.container.command_inside(inner_pid(self._process.pid), command, *arguments)
        done = subprocess.run(inside, capture_output=True, text=True)
        if done.returncode:
            raise TrialError(f"{command} {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM to the entrypoint, as kubelet sends it. What it leaves ends with its process table."""
        if process.poll() is None:
            os.kill(inner_pid(process.pid), signal.SIGTERM)
        try:
            wait_until(lambda: process.poll() is not None, STOP_TIMEOUT, "the entrypoint ends")
        finally:
            process.kill()
            self.exit_status = process.wait()


class ImageArena(Arena):
    """An arena whose gate and Postfix are those of the images."""

    def __init__(self, images: Images, variant: Variant) -> None:
        super().__init__(variant)
        self._images = images

    def make_gate(self, settings: dict[str, Any], environment: dict[str, str]) -> Gate:
        def kind(settings: Mapping[str, Any], environment: Mapping[str, str]) -> Gate:
            return ImageGate(self._images["sendgate"], settings, environment)

        return make_gate(settings, environment, kind)

    def make_mta(self, milter: str, next_hop: str) -> Postfix:
        assert milter.startswith("unix:"), "the image's Postfix takes Sendgate on its Unix socket alone"
        return ImagePostfix(self._images["postfix"], self.gate.folder, self._variant.mta, next_hop)


def manifest_capabilities() -> list[str]:
    """What the manifest adds for Postfix."""
    documents = yaml.safe_load_all((REPOSITORY / "k8s" / "base" / "statefulset.yaml").read_text())
    pod = next(found for found in documents if found["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    container = next(found for found in pod["containers"] if found["name"] == "postfix")
    added: list[str] = container["securityContext"]["capabilities"]["add"]
    return added
