"""The C milter of c_milter/, compiled and run: what Sendgate is measured against.

In: addresses. Out: a running milter with its socket and its process id.
Refused: `TrialError` when it cannot be compiled or does not start.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench import lists
from trial.mta import TrialError
from trial.waiting import wait_until

SOURCE = Path(__file__).parent / "c_milter" / "milter.c"
BUILD = Path(__file__).parent / "build"
STOP_SECONDS = 12


class Bare:
    """One C milter with `count` addresses on its list. A context manager."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Bare:
        program = compiled()
        self.folder = Path(tempfile.mkdtemp(prefix="bench-bare-"))
        try:
            self._start(program)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def milter(self) -> str:
        """As an entry of smtpd_milters."""
        return f"unix:{self.folder}/milter.sock"

    def worker_pids(self) -> list[int]:
        """Its one process."""
        return [self._process.pid] if self._process else []

    def _start(self, program: Path) -> None:
        self.folder.chmod(0o755)
        database = self.folder / "list"
        database.mkdir()
        with lists.write(self.folder / "list.txt", self._count).open("rb") as addresses:
            subprocess.run([str(program), "fill", str(database)], stdin=addresses, check=True)
        self._process = subprocess.Popen([str(program), "serve", str(database), self.milter])
        path = Path(self.milter.removeprefix("unix:"))
        wait_until(path.exists, 10, "the C milter listens")
        path.chmod(0o666)


def compiled() -> Path:
    """The program, compiled anew if its source is newer. Raises TrialError with the compiler's words."""
    program = BUILD / "milter"
    if program.exists() and program.stat().st_mtime > SOURCE.stat().st_mtime:
        return program
    BUILD.mkdir(exist_ok=True)
    command = ["gcc", "-O2", "-Wall", "-o", str(program), str(SOURCE), "-lmilter", "-llmdb", "-lpthread"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise TrialError("gcc is missing; on Debian: apt-get install gcc libmilter-dev liblmdb-dev") from None
    if done.returncode:
        raise TrialError(f"{' '.join(command)}: {done.stderr}")
    return program
