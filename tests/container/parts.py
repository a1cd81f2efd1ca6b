"""The Postfix container, as a container runtime would run it: our scripts in a read-only root file system of their own.

In: the root file system, the environment, the capabilities it may have. Out: a running container with its exit status,
stdout, log and queue, and other commands in it. Refused: TimeoutError when something does not happen, with its output.

The entrypoint is process 1 of its own process namespace, with no_new_privs; all that is writable are the volumes, which
begin as kubelet makes an emptyDir for a pod with an fsGroup. The network is the machine's, on free ports.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import smtplib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from container.rootfs import GID
from trial.ports import LOOPBACK, free_port
from trial.waiting import wait_until

POSTFIX = Path(__file__).resolve().parents[2] / "postfix"
START_TIMEOUT = 30
NEEDED = ("chown", "dac_override", "setgid", "setuid")
"""The capabilities that docs/postfix-image.md names."""

_VOLUMES = {
    "etc": "etc/postfix",
    "data": "var/lib/postfix",
    "log": "var/log/postfix",
    "spool": "srv/spool",
    "templates": "usr/share/sendgate-postfix",
    "probe": "probe",
}
_ENTER = """
set -eu
root=$1 mount=$2 run=$3 scripts=$4 volumes=$5; shift 5
mount --bind "$root" "$mount"
mount -o remount,bind,ro "$mount"
mount --bind -o ro "$scripts" "$mount/usr/local/bin"
mount --bind "$run" "$mount/run/sendgate"
while IFS== read -r from to; do mount --bind "$from" "$mount/$to"; done < "$volumes"
mount -t tmpfs -o mode=1777 tmpfs "$mount/tmp"
mount -t proc proc "$mount/proc"
mount --rbind /dev "$mount/dev"
exec chroot "$mount" "$@"
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Container:
    """One container with its volumes, which outlive it: it can be started again.

    run: what is mounted on /run/sendgate. relay: the port of the next hop. Environment on top of that of a trial.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        run: Path | None = None,
        relay: int | None = None,
        capabilities: Sequence[str] = NEEDED,
    ) -> None:
        self.root, self.folder, self.capabilities = root, folder, capabilities
        self.port, self.showq_port = free_port(), free_port()
        self._run = run or folder
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = {
            "POSTFIX_MYHOSTNAME": "sender.test",
            "POSTFIX_QUEUE_DIRECTORY": "/srv/spool/postfix",
            "POSTFIX_RELAYHOST": f"[{LOOPBACK}]:{relay or free_port()}",
            "POSTFIX_SMTP_TLS_SECURITY_LEVEL": "none",
            "POSTFIX_SMTP_DNS_SUPPORT_LEVEL": "disabled",
            "SMTP_PORT": str(self.port),
            "SHOWQ_PORT": str(self.showq_port),
        } | dict(environment or {})
        self._make_volumes()

    def __enter__(self) -> Container:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def queue(self) -> Path:
        return self.folder / "spool" / "postfix"

    @property
    def log(self) -> Path:
        return self.folder / "log" / "maillog"

    @property
    def init(self) -> int:
        """The process id, outside, of the container's process 1."""
        assert self._process, "it was started"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return next((int(pid) for pid in children.read_text().split()), 0) if children.exists() else 0

    def start(self, *, stdout: int | None = None) -> None:
        """Start it, and wait until it serves."""
        before = len(self.log_text())
        self.launch(stdout=stdout)
        wait_until(lambda: self._serves(before), START_TIMEOUT, "Postfix serves")

    def launch(self, *, stdout: int | None = None) -> None:
        """Start it, and wait for nothing."""
        with (self.folder / "stdout").open("ab") as out, (self.folder / "stderr").open("ab") as errors:
            self._process = subprocess.Popen(
                self._command("postfix-start"),
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=errors,
                start_new_session=True,
            )

    def wait(self, timeout: float = 30) -> int:
        """Wait for its end; its exit status."""
        assert self._process, "it was started"
        status = self._process.wait(timeout)
        self._process = None
        return status

    def stop(self, timeout: float = 30) -> int:
        """SIGTERM to its process 1, as a runtime does; its exit status."""
        os.kill(self.init, signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """SIGKILL to process 1, which ends all the others; harmless when it does not run."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.init or self._process.pid, signal.SIGKILL)
        self._process.wait(30)
        self._process = None

    def once(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A command as process 1 of a container that does nothing else."""
        return subprocess.run(self._command(*command), capture_output=True, text=True, timeout=timeout)

    def exec(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A command in the running container, as `kubectl exec` or a preStop hook runs it."""
        return subprocess.run(self.exec_command(*command), capture_output=True, text=True, timeout=timeout)

    def exec_command(self, *command: str) -> list[str]:
        inside = ["nsenter", "-t", str(self.init), "--mount", "--pid", "--root", "--wd"]
        return [*inside, *self._privileges(), "/usr/bin/env", "-i", *self._variables(), *command]

    def log_text(self) -> str:
        """What Postfix logged, the rotated files first."""
        return "".join(path.read_text(errors="replace") for path in [*self.rotated(), self.log] if path.exists())

    def rotated(self) -> list[Path]:
        return sorted(self.log.parent.glob("maillog.*"))

    def output(self) -> str:
        return (self.folder / "stdout").read_text(errors="replace")

    def errors(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")

    def warnings(self) -> list[str]:
        """What Postfix complained of."""
        words = ("warning:", "error:", "fatal:", "panic:")
        return [line for line in self.log_text().splitlines() if any(word in line for word in words)]

    def messages(self, *queues: str) -> int:
        """The messages in these queues."""
        return sum(1 for name in queues for path in (self.queue / name).rglob("*") if path.is_file())

    def client(self) -> smtplib.SMTP:
        """A connected SMTP client."""
        return smtplib.SMTP(LOOPBACK, self.port, timeout=30)

    def send(self, *recipients: str, subject: str = "hello") -> None:
        """One message to each."""
        with self.client() as client:
            for recipient in recipients:
                client.sendmail("sender@example.com", recipient, f"Subject: {subject}\r\n\r\nhello\r\n")

    def _serves(self, before: int) -> bool:
        assert self._process, "it was started"
        ended = self._process.poll()
        assert ended is None, f"it ended with {ended}: {self.errors()}{self.log_text()}"
        return "daemon started" in self.log_text()[before:]

    def _variables(self) -> list[str]:
        return [f"{name}={value}" for name, value in ({"PATH": PATH} | self.environment).items()]

    def _privileges(self) -> list[str]:
        allowed = ",".join(["-all", *(f"+{name}" for name in self.capabilities)])
        return ["/usr/bin/setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set={allowed}"]

    def _command(self, *command: str) -> list[str]:
        outside = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        places = [self.root, self.folder / "root", self._run, POSTFIX / "container", self.folder / "volumes"]
        enter = ["bash", "-c", _ENTER, "enter", *map(str, places)]
        return [*outside, *enter, *self._privileges(), "/usr/bin/env", "-i", *self._variables(), *command]

    def _make_volumes(self) -> None:
        for name in ("root", *_VOLUMES):
            (self.folder / name).mkdir(parents=True)
        for name in ("etc", "data", "log", "spool"):
            give_to_group(self.folder / name)
        for name in ("main.cf", "master.cf"):
            shutil.copy(POSTFIX / name, self.folder / "templates")
        shutil.copytree(self.root / "etc" / "postfix", self.folder / "templates" / "etc", symlinks=True)
        lines = [f"{self.folder / name}={place}\n" for name, place in _VOLUMES.items()]
        (self.folder / "volumes").write_text("".join(lines))


def give_to_group(volume: Path) -> None:
    """What kubelet does to a volume of a pod with this fsGroup: group, its rights, and setgid on folders."""
    for path in (volume, *volume.rglob("*")):
        os.chown(path, -1, GID, follow_symlinks=False)
        if path.is_dir():
            path.chmod(path.stat().st_mode | 0o2770)
        elif not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o660)
