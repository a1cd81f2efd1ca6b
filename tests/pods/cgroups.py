"""The control groups of the tests' containers: where they are, and what is in force in them.

In: a process. Out: paths and limits, on version 2 and on version 1 alike, also beside each other. All groups of a test
process are below one of its own, which goes with it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def is_unified() -> bool:
    """Whether version 2 is all there is."""
    return (ROOT / "cgroup.controllers").exists()


def limits_swap() -> bool:
    """Whether memory and swap together can have a limit: version 1 can be without."""
    return is_unified() or (ROOT / "memory/memory.memsw.limit_in_bytes").exists()


@functools.cache
def parent() -> str:
    """The group that those of this process are in. Removed when it ends."""
    path = f"/sendgate-tests-{os.getpid()}"
    atexit.register(_remove, path)
    return path


def memory_limit(pid: int) -> int:
    """The limit of the group that this process is in, in bytes. Raises ValueError if there is none."""
    unified = is_unified()
    for line in (Path("/proc") / str(pid) / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers and unified:
            return int((ROOT / path.lstrip("/") / "memory.max").read_text())
        if "memory" in controllers.split(","):
            return int((ROOT / "memory" / path.lstrip("/") / "memory.limit_in_bytes").read_text())
    raise ValueError(f"process {pid} is in no group that limits memory")


def _remove(path: str) -> None:
    for hierarchy in (ROOT, *ROOT.iterdir()):
        with contextlib.suppress(OSError):
            (hierarchy / path.lstrip("/")).rmdir()
