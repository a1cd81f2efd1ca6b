"""A private Postfix: the project's own main.cf and master.cf in a temporary folder, on a loopback port.

In: the milters in front of it, settings to override, and the next hop for accepted mail. Out: a running
instance with its port, log and queue. Without a next hop accepted mail is discarded, so that nothing can ever
leave the machine. Refused: `TrialError` when not root, when Postfix is missing, and when it does not start
(with its log).

No other Postfix on the machine is touched: configuration, queue, data and log are its own. `stop` ends every
process and removes every file, also after a failed start.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trial.background import Running
from trial.ports import LOOPBACK, answers, free_port
from trial.waiting import wait_until

SHIPPED = Path(__file__).resolve().parent.parent
START_TIMEOUT = 30
STOP_TIMEOUT = 10


class TrialError(RuntimeError):
    """A part of the trial cannot run; the message says why, and what helps."""


class Postfix(Running):
    """One private instance. Use it as a context manager, or call start and stop.

    milters: `smtpd_milters` as one string, or its entries (`unix:/path` gets the time-outs of main.cf); None
    means none at all. overrides: settings of main.cf. relayhost: where accepted mail goes, as `[host]:port`.
    log: where it logs, for somebody who wants to know before it starts. services: further lines of master.cf.
    """

    owner: str | int = "postfix"
    """The user that its parts run as."""

    def __init__(
        self,
        milters: str | Sequence[str] | None = None,
        overrides: Mapping[str, str] | None = None,
        relayhost: str | None = None,
        port: int | None = None,
        log: Path | None = None,
        services: Sequence[str] = (),
    ) -> None:
        self.port = port or free_port()
        self._log = log
        self._services = services
        self._milters = milters
        self._overrides = dict(overrides or {})
        self._relayhost = relayhost
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path()

    @property
    def config(self) -> Path:
        """Its configuration directory, for `postconf -c` and the like."""
        return self.folder / "etc"

    @property
    def queue_directory(self) -> Path:
        return self.folder / "queue"

    @property
    def log(self) -> Path:
        """Its log file."""
        return self._log or self.folder / "maillog"

    def start(self) -> None:
        """Make the folder, start Postfix and wait until it listens."""
        if os.geteuid() != 0:
            raise TrialError("Postfix can only be started by root: its parts run as different users")
        command_path("postfix")
        try:
            self._configure()
            self._process = self._launch()
            wait_until(self._started, START_TIMEOUT, "Postfix listens")
        except BaseException as error:
            told = self.log_text()
            self.stop()
            if isinstance(error, (TimeoutError, TrialError)):
                raise TrialError(f"Postfix did not start on {LOOPBACK}:{self.port}: {error}\n{told}") from None
            raise

    def stop(self) -> None:
        """End all its processes and remove its folder; harmless when it does not run."""
        if self._process:
            self._end(self._process)
            self._process = None
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = Path()

    def reload(self) -> None:
        """Make it read its configuration again, as `postfix reload` does."""
        self._run("postfix", "reload")

    def set(self, **settings: str) -> None:
        """Change settings of main.cf; `reload` makes them count."""
        self._run("postconf", "-e", *(f"{name}={value}" for name, value in settings.items()))
        settled = time.time() - 60  # every program of Postfix waits two seconds on a main.cf that is newer
        os.utime(self.config / "main.cf", (settled, settled))

    def log_text(self) -> str:
        """All that Postfix said up to now, at the start and in its log."""
        paths = (self.folder / "start.err", self.log)
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    def wait_for_log(self, pattern: str, timeout: float = 10) -> re.Match[str]:
        """Wait until the log matches; returns the first match. Raises TimeoutError."""
        regex = re.compile(pattern)
        return wait_until(lambda: regex.search(self.log_text()), timeout, f"{pattern!r} in Postfix's log")

    def queue(self) -> list[dict[str, Any]]:
        """The messages in the queue, as `postqueue -j` tells them."""
        return [json.loads(line) for line in self._run("postqueue", "-j").splitlines()]

    def expire_all(self) -> None:
        """Let no message in the queue be tried again: each is returned to its sender at the next look."""
        self._run("postsuper", "-e", "ALL")

    def delete(self, queue: str) -> None:
        """Delete all messages of one queue, like `hold`."""
        self._run("postsuper", "-d", "ALL", queue)

    def _run(self, command: str, *arguments: str) -> str:
        whole = [command_path(command), "-c", str(self.config), *arguments]
        done = subprocess.run(whole, capture_output=True, text=True, start_new_session=True)
        if done.returncode:
            raise TrialError(f"{' '.join(whole)}: {done.stderr.strip()}")
        return done.stdout

    def _launch(self) -> subprocess.Popen[bytes]:
        """Start it in the foreground, as a child: so nothing of it outlives `stop` unnoticed."""
        with (self.folder / "start.err").open("wb") as errors:
            return subprocess.Popen(
                [command_path("postfix"), "-c", str(self.config), "start-fg"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def _configure(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trial-mta-"))
        self.folder.chmod(0o755)
        self.config.mkdir()
        self.queue_directory.mkdir()
        data = self.folder / "data"
        data.mkdir()
        shutil.chown(data, "postfix")
        shutil.copy(SHIPPED / "main.cf", self.config)
        master = (SHIPPED / "master.cf").read_text()
        listener = re.sub(r"^smtp(?=\s+inet\s)", f"{LOOPBACK}:{self.port}", master, flags=re.MULTILINE)
        (self.config / "master.cf").write_text("\n".join([listener, *self._services, ""]))
        self.set(**self._settings())

    def _settings(self) -> dict[str, str]:
        """What differs from a sender in production: places, names, no DNS, and no way off the machine."""
        private = {
            "queue_directory": str(self.queue_directory),
            "data_directory": str(self.folder / "data"),
            "maillog_file": str(self.log),
            "maillog_file_prefixes": str(self.log.parent),
            "myhostname": "sender.test",
            "inet_protocols": "ipv4",
            "relayhost": self._relayhost or "",
            "default_transport": "smtp" if self._relayhost else "discard:",
            "relay_transport": "discard:",
            "smtp_dns_support_level": "disabled",
            "smtp_tls_security_level": "none",
        }
        return private | {"smtpd_milters": self._milter_setting()} | self._overrides

    def _milter_setting(self) -> str:
        if self._milters is None or isinstance(self._milters, str):
            return self._milters or ""
        return ", ".join(shipped_milter(entry) for entry in self._milters)

    def _started(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise TrialError("it ended at once")
        return "daemon started" in self.log_text() and answers(self.port)

    def _master(self) -> int | None:
        """The master's process id, once it has taken its lock."""
        path = self.queue_directory / "pid" / "master.pid"
        return int(path.read_text()) if path.exists() and path.read_text().strip() else None

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM to the master, which ends its daemons; what is left after a while is killed."""
        master = self._master()
        _signal(signal.SIGTERM, [process.pid if master is None else master])
        try:
            wait_until(lambda: process.poll() is not None and not self._members(), STOP_TIMEOUT, "Postfix ends")
        except TimeoutError:
            process.kill()
            _signal(signal.SIGKILL, self._members())
        process.wait()

    def _members(self) -> list[int]:
        """Its daemons: the processes that work in its queue directory."""
        return [pid for pid in process_ids() if _working_directory(pid) == str(self.queue_directory)]


def command_path(name: str) -> str:
    """Where a command of Postfix is. Raises TrialError when it is not installed."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        raise TrialError(f"{name} is missing; on Debian: apt-get install postfix")
    return path


def shipped_milter(entry: str) -> str:
    """An entry of smtpd_milters with main.cf's time-outs and default action; one in braces stays as it is."""
    if entry.startswith("{"):
        return entry
    match = re.search(r"^smtpd_milters =\s+\{[^,]+,([^}]+)\}", (SHIPPED / "main.cf").read_text(), re.MULTILINE)
    assert match, "main.cf has smtpd_milters in braces"
    return f"{{ {entry}, {' '.join(match[1].split())} }}"


def process_ids() -> list[int]:
    """All processes of the machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _working_directory(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


def _signal(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
