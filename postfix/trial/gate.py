"""A running Sendgate in a temporary folder, as an operator would run it: by its command line and its HTTP server.

In: settings to override (the shape of the YAML file), environment variables. Out: the gate's socket, metrics,
log lines and processes, and its other commands run with the same settings.
Refused: `TrialError` when it does not become ready or does not end in time, with its log.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from trial.mta import TrialError, process_ids
from trial.ports import LOOPBACK, free_port
from trial.waiting import wait_until

START_TIMEOUT = 20
STOP_TIMEOUT = 20
STRAGGLER_TIMEOUT = 3
COMMAND_TIMEOUT = 120

Sample = tuple[str, frozenset[tuple[str, str]]]


class Gate:
    """One gate. As a context manager it makes an empty store, starts and stops; `run` works before the start, too.

    settings: merged over those of the trial, section by section. environment: added to this process's own.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trial-gate-"))
        self.folder.chmod(0o755)  # Postfix's user must reach the socket
        self.ops_port = free_port()
        self.socket = self.folder / "milter.sock"
        self.config = self.folder / "sendgate.yaml"
        whole = merged(self._settings(), settings or {})
        self.config.write_text(yaml.safe_dump(whole))
        self.shared = not whole["store"]["url"].startswith("lmdb://")
        self.store = Path(whole["store"]["replica"] if self.shared else whole["store"]["url"].removeprefix("lmdb://"))
        self._environment = os.environ | dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Gate:
        try:
            self.make_store()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self.remove()

    @property
    def milter(self) -> str:
        """The gate as an entry of smtpd_milters."""
        return f"unix:{self.socket}"

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        if self._process is None:
            raise TrialError("the gate does not run")
        return self._process.pid

    def command(self, *arguments: str) -> list[str]:
        """How the program is called."""
        return [sys.executable, "-m", "sendgate", *arguments]

    def run(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:  # noqa: A002
        """Run another command with the same settings: `gate.run("add", "user@example.com", "--reason", "trap")`."""
        return subprocess.run(
            self.command(*arguments, "--config", str(self.config)),
            input=input,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            env=self._environment,
            start_new_session=True,  # a Ctrl-C at the terminal is for the trial, which then ends in order
        )

    def make_store(self) -> None:
        """An empty store, unless there is one: without any, `sendgate serve` refuses to start, or never gets ready."""
        if self.shared or not self.store.exists():
            made = self.run("import", "-", input="")
            if made.returncode:
                raise TrialError(f"no empty store could be made: {made.stderr}")

    def start(self, *, wait: bool = True) -> None:
        """Start `sendgate serve` and, unless told otherwise, wait for it to be ready; a failed start leaves nothing."""
        with (self.folder / "log").open("ab") as out, (self.folder / "errors").open("ab") as errors:
            self._process = subprocess.Popen(
                self.command("serve", "--config", str(self.config)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                env=self._environment,
                start_new_session=True,
            )
        if not wait:
            return
        try:
            wait_until(self._ready, START_TIMEOUT, "the gate is ready")
        except BaseException as error:
            self._kill()
            if isinstance(error, (TimeoutError, TrialError)):
                raise TrialError(f"the gate did not start: {error}\n{self.log_text()}") from None
            raise

    def stop(self) -> None:
        """SIGTERM, and wait. Raises TrialError when it has to be killed. Harmless when it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            ended = self._process.wait(STOP_TIMEOUT)
            if ended != -signal.SIGKILL:  # a test that killed the supervisor knows that it leaves workers
                wait_until(lambda: not self._session(), STRAGGLER_TIMEOUT, "its workers end with it")
        except (subprocess.TimeoutExpired, TimeoutError) as error:
            raise TrialError(f"the gate did not end: {error}\n{self.log_text()}") from None
        finally:
            self._kill()

    def wait_for_end(self, timeout: float = STOP_TIMEOUT) -> int:
        """Wait until the supervisor has ended by itself. Returns its exit status, negative for a signal."""
        if self._process is None:
            raise TrialError("the gate does not run")
        return self._process.wait(timeout)

    def is_ready(self) -> bool:
        """Whether it says now that it is ready."""
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def remove(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def sighup(self) -> None:
        """Tell it to read its settings again."""
        os.kill(self.pid, signal.SIGHUP)

    def get(self, path: str) -> tuple[int, str]:
        """Ask its HTTP server: status and body. Raises OSError when it does not answer.

        Asks once more when the connection is dropped: a reload replaces the server, and one has just been accepted.
        """
        try:
            return self._get(path)
        except ConnectionResetError:
            return self._get(path)

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(LOOPBACK, self.ops_port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metrics(self) -> dict[Sample, float]:
        """All samples of /metrics, by name and labels."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 when there is none."""
        wanted = labels.items()
        return sum(value for (found, has), value in self.metrics().items() if found == name and wanted <= has)

    def log_text(self) -> str:
        """All it wrote up to now, its errors last."""
        paths = [self.folder / "log", self.folder / "errors"]
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    def log_lines(self) -> list[dict[str, Any]]:
        """Its log, parsed. A line that is no JSON raises ValueError: there must be none."""
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def child_pids(self) -> list[int]:
        """The processes it started and that live: workers, HTTP server and the like."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def worker_pids(self) -> list[int]:
        """The living processes that answer Postfix, as its log names them."""
        lines = [line for line in self.log_lines() if line["event"] == "process_started"]
        started = {line["pid"] for line in lines if line["process"].startswith("worker-")}
        return [pid for pid in self.child_pids() if pid in started]

    def _settings(self) -> dict[str, Any]:
        return {
            "milter": {"socket": self.milter, "socket_mode": "0666"},
            "store": {"url": f"lmdb://{self.folder}/store", "replica": f"{self.folder}/replica"},
            "ops": {"listen": f"{LOOPBACK}:{self.ops_port}"},
            "feedback": {"state": f"{self.folder}/feedback"},
        }

    def _ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise TrialError("it ended at once")
        return self.is_ready()

    def _kill(self) -> None:
        """End what is left: the supervisor, and children that lost it."""
        if self._process is None:
            return
        for pid in self._session():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        wait_until(lambda: not self._session(), STRAGGLER_TIMEOUT, "the killed processes are gone")
        self._process = None

    def _session(self) -> list[int]:
        """The processes that live in its session: the supervisor and all its children, whatever their group."""
        return [pid for pid in process_ids() if session_of(pid) == self.pid]


def session_of(pid: int) -> int:
    """The session of a living process; 0 when it is gone or a zombie."""
    try:
        state, _, _, session, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if state == "Z" else int(session)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mappings merged key by key."""
    both = {
        key: merged(base[key], value) if isinstance(base.get(key), dict) and isinstance(value, Mapping) else value
        for key, value in over.items()
    }
    return {**base, **both}
