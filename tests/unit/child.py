"""Python code in a process of its own, for what one process cannot show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def start(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start `code` with our import path; `arguments` are its sys.argv[1:]. The caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def run(code: str, *arguments: str | Path) -> str:
    """Run `code` to its end and return what it printed; it must succeed."""
    process = start(code, *arguments)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out
