"""What the tests of this folder share: a private Postfix, a stub milter in front of it, a sink behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from postfix.milter_stub import StubMilter
from trial.mta import Postfix
from trial.sink import Sink


@dataclass(frozen=True)
class Sender:
    """The three parts together."""

    mta: Postfix
    milter: StubMilter
    sink: Sink


def processes_in(folder: Path) -> list[str]:
    """The processes that work in a folder (even a deleted one) or were started with a path in it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            marks = str((entry / "cwd").readlink()) + (entry / "cmdline").read_text(errors="replace")
        except OSError:
            continue
        if f"{folder}/" in marks:
            found.append(f"{entry.name} {marks}")
    return found
