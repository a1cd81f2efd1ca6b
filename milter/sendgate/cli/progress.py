"""How far an import is: a bar on a terminal, else a line now and then. On stderr, so that stdout is the answer.

In: octets and lines read, and the phases of the store. Out: text for people.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

LINE_EVERY_SECONDS = 10.0


class Display(Protocol):
    """Shows progress. Both methods are called often; they decide what is worth showing."""

    def reading(self, lines: int, taken: int, size: int | None) -> None:
        """So many lines and octets were read; size: octets of the file, None when that is not known."""

    def storing(self, phase: str, done: int, total: int) -> None:
        """The store has done so much of a phase."""


class Bar:
    """A bar on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._started = time.monotonic()
        self._task = progress.add_task("reading", total=None, detail="")

    def reading(self, lines: int, taken: int, size: int | None) -> None:
        self._progress.update(self._task, completed=taken, total=size, detail=_detail(lines, taken, self._started))

    def storing(self, phase: str, done: int, total: int) -> None:
        self._progress.update(self._task, description=phase, completed=done, total=total)


class Lines:
    """A line on stderr every LINE_EVERY_SECONDS, for logs and pipes."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()

    def reading(self, lines: int, taken: int, size: int | None) -> None:
        if self._due():
            share = f" of {_mebi(size)}" if size else ""
            print(f"reading: {_detail(lines, taken, self._started)}{share}", file=sys.stderr)

    def storing(self, phase: str, done: int, total: int) -> None:
        if self._due():
            print(f"{phase}: {done / total:.0%}", file=sys.stderr)

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._last < LINE_EVERY_SECONDS:
            return False
        self._last = now
        return True


def show() -> AbstractContextManager[Display]:
    """The display that fits where stderr goes."""
    return _Shown() if sys.stderr.isatty() else nullcontext(Lines())


class _Shown(AbstractContextManager[Display]):
    """A bar for as long as the block runs; it leaves nothing behind."""

    def __init__(self) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)

    def __enter__(self) -> Display:
        self._progress.start()
        return Bar(self._progress)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _detail(lines: int, taken: int, started: float) -> str:
    rate = lines / max(time.monotonic() - started, 0.001)
    return f"{lines:,} lines, {rate:,.0f}/s, {_mebi(taken)}"


def _mebi(octets: int) -> str:
    return f"{octets / 2**20:,.1f} MiB"
