"""A private Redis server in a folder, on a loopback port that stays the same over its restarts.

In: a folder, which stays when the server ends; certificates for a server that speaks TLS only; the password of its
default user; users as lines of an ACL file; lines of redis.conf. Out: a running server with its URL and an
administrator's client. Nothing is saved unless told by `appendonly` or a `save` line.
Refused: `TrialError` when the program is missing, when the server does not start or does not end in time, and when
it ended by itself with an error; each with the end of its log.

Valkey works, too: `program="valkey-server"`. The configuration is written once; afterwards it belongs to the server
(CONFIG REWRITE, Sentinel), so that a restart goes on as an operator's would.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from trial.background import Running
from trial.certificates import Certificates, tls_arguments
from trial.mta import TrialError
from trial.ports import LOOPBACK
from trial.redis_ports import server_port
from trial.waiting import wait_until

START_TIMEOUT = 20
STOP_TIMEOUT = 10
LINK_TIMEOUT = 20
LOG_TAIL = 20  # lines
LOG_WIDTH = 200  # a crash writes dumps of many thousand characters

# The administrator of the trial: works whatever a test does to the default user, and carries replication.
ADMIN = "trial"
ADMIN_PASSWORD = "trial-admin"
EVERYTHING = "~* &* +@all"


class RedisServer(Running):
    """One server. Use it as a context manager, or call start and stop; port and folder stay the same.

    password: of the default user. acl: `user app on >pw ~app:* +get`; a line for `default` replaces the usual one.
    extra: lines of redis.conf, which win over the others.
    """

    mode: ClassVar[Sequence[str]] = ()

    def __init__(
        self,
        folder: Path,
        *,
        certificates: Certificates | None = None,
        password: str = "",
        acl: Sequence[str] = (),
        extra: Sequence[str] = (),
        appendonly: bool = False,
        program: str = "redis-server",
    ) -> None:
        self.folder = folder.absolute()
        self.certificates = certificates
        self.port = server_port()
        self.client = admin_client(self.port, certificates)
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write("users.acl", acl_lines(acl, password))
        self._write("redis.conf", [*self._settings(appendonly), *extra])

    @property
    def url(self) -> str:
        """Where it is: without user and password."""
        return f"{'rediss' if self.certificates else 'redis'}://{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process. Raises TrialError when it does not run; with its log when it ended by itself."""
        return self._running().pid

    @property
    def runs(self) -> bool:
        """Whether its process lives, be it paused."""
        return self._process is not None and self._process.poll() is None

    def command(self, *words: str | bytes | int) -> Any:
        """Send one command as the administrator; returns the answer as redis-py gives it."""
        return self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    def start(self) -> None:
        """Start it and wait until it answers and has loaded its data. A failed start leaves no process."""
        if self._process is not None:
            raise TrialError(f"{self._program} on port {self.port} has been started already")
        self._process = self._launch()
        try:
            wait_until(self._answers, START_TIMEOUT, f"{self._program} answers")
        except BaseException as error:
            self.kill()
            if isinstance(error, TimeoutError):
                raise TrialError(self._telling(str(error))) from None
            raise

    def stop(self, save: bool = False) -> None:
        """End it as a service manager does, or with SHUTDOWN SAVE; wait. Harmless when it does not run.

        Raises TrialError when it has ended with an error before, or has to be killed.
        """
        if self._process is None:
            return
        try:
            if self._process.poll() == 0:
                return
            self.resume()
            if save:
                self.client.shutdown(save=True)
            else:
                self._process.terminate()
            status = self._process.wait(STOP_TIMEOUT)
            if status:
                raise TrialError(self._telling(f"it ended with status {status}"))
        except (redis.RedisError, subprocess.TimeoutExpired) as error:
            raise TrialError(self._telling(f"it did not end: {error}")) from None
        finally:
            self.kill()

    def terminate(self) -> None:
        """Ask it to end, without waiting; `stop` does the rest. Harmless when it does not run."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, and wait. Harmless when it does not run, or has ended by itself."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.client.connection_pool.disconnect()

    def restart(self) -> None:
        """Stop it, if it runs, and start it again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: its connections stay, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: process_state(self.pid) == "T", STOP_TIMEOUT, f"{self._program} is frozen")

    def resume(self) -> None:
        """Let it go on; harmless when it is not paused."""
        os.kill(self.pid, signal.SIGCONT)

    def replicate(self, other: RedisServer | None) -> None:
        """Follow another server, and wait until the link is up; None makes it a primary. Restarts keep that."""
        if other is None:
            self.command("REPLICAOF", "NO", "ONE")
        else:
            self.command("REPLICAOF", LOOPBACK, other.port)
            wait_until(lambda: self.follows(other), LINK_TIMEOUT, f"port {self.port} follows port {other.port}")
        self.command("CONFIG", "REWRITE")

    def follows(self, other: RedisServer) -> bool:
        """Whether it is a replica of that server and linked to it."""
        told = self.client.info("replication")
        return told.get("master_port") == other.port and told.get("master_link_status") == "up"

    def log_text(self) -> str:
        """All it wrote up to now, at its starts and in its log."""
        paths = [self.folder / "output", self.folder / "redis.log"]
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    def _settings(self, appendonly: bool) -> list[str]:
        return [
            f"bind {LOOPBACK}",
            *self._listener(),
            f"dir {quoted(self.folder)}",
            f"logfile {quoted(self.folder / 'redis.log')}",
            f"aclfile {quoted(self.folder / 'users.acl')}",
            f"masteruser {ADMIN}",
            f"masterauth {ADMIN_PASSWORD}",
            f"appendonly {'yes' if appendonly else 'no'}",
            'save ""',
            "daemonize no",
            "protected-mode no",
            "enable-debug-command local",
            "repl-diskless-sync-delay 0",  # 5 s for every first link otherwise
            "shutdown-timeout 1",  # 10 s for a replica that is paused otherwise
        ]

    def _listener(self) -> list[str]:
        if self.certificates is None:
            return [f"port {self.port}"]
        return [
            "port 0",
            f"tls-port {self.port}",
            f"tls-cert-file {quoted(self.certificates.server_cert)}",
            f"tls-key-file {quoted(self.certificates.server_key)}",
            f"tls-ca-cert-file {quoted(self.certificates.ca)}",
            "tls-auth-clients yes",
            "tls-replication yes",
        ]

    def _write(self, name: str, lines: Sequence[str]) -> None:
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines))

    def _launch(self) -> subprocess.Popen[bytes]:
        program = shutil.which(self._program)
        if program is None:
            raise TrialError(f"{self._program} is missing; on Debian: apt-get install {self._program}")
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                [program, str(self.folder / "redis.conf"), *self.mode],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=os.environ | {"LC_ALL": "C"},  # it refuses to start in a locale that is not installed
                start_new_session=True,
            )

    def _answers(self) -> bool:
        """Whether PING is answered; while it loads its data it is not. Any other answer will do."""
        self._running()
        client = admin_client(self.port, self.certificates, timeout=1)
        try:
            return client.ping()
        except redis.AuthenticationError:
            raise
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        except redis.ResponseError:
            return True
        finally:
            client.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise TrialError(f"{self._program} on port {self.port} does not run")
        status = self._process.poll()
        if status is not None:
            raise TrialError(self._telling(f"it ended by itself with status {status}"))
        return self._process

    def _telling(self, what: str) -> str:
        tail = "\n".join(line[:LOG_WIDTH] for line in self.log_text().splitlines()[-LOG_TAIL:])
        return f"{self._program} on port {self.port}: {what}\n{tail}"


def stop_all(servers: Sequence[RedisServer]) -> None:
    """End them all, also when one does not end as it should; then raises its error."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            server.terminate()  # at the same time: a primary waits for its replicas, unless they end, too
            stack.callback(server.stop)


def admin_client(port: int, certificates: Certificates | None, timeout: float = 5) -> redis.Redis:
    """A client with all rights, that fails at once. RESP2: no questions on connecting that older servers refuse."""
    return redis.Redis(
        host=LOOPBACK,
        port=port,
        username=ADMIN,
        password=ADMIN_PASSWORD,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
        **tls_arguments(certificates),
    )


def acl_lines(users: Sequence[str], password: str) -> list[str]:
    """The ACL file: the administrator, the default user unless he is among the users, and the users."""
    named = {line.split()[1] for line in users}
    secret = f">{password}" if password else "nopass"
    default = [] if "default" in named else [f"user default on {secret} {EVERYTHING}"]
    return [f"user {ADMIN} on >{ADMIN_PASSWORD} {EVERYTHING}", *default, *users]


def quoted(path: Path) -> str:
    """A path for redis.conf, blanks and all."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def process_state(pid: int) -> str:
    """The letter of a process's state in /proc: T when it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
