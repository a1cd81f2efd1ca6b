"""What goes on while a test, or a demo, does something else: for as long as a `with` lasts.

In: a class with `start` and `stop`, or with what its threads do. Out: a context manager.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Running(ABC):
    """Starts at the beginning of a `with`, stops at its end."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start, and wait until it works."""

    @abstractmethod
    def stop(self) -> None:
        """End; harmless when it does not run."""


class Background(Running):
    """Runs `_run` in threads of its own. `_run` ends soon after `_ending` is set."""

    _patience_seconds = 60.0

    def __init__(self, threads: int = 1) -> None:
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each thread finish what it has begun, and wait for it. Raises AssertionError when one does not end."""
        self._ending.set()
        for thread in self._threads:
            thread.join(self._patience_seconds)
            assert not thread.is_alive(), f"{type(self).__name__} waits for something that does not come"

    @abstractmethod
    def _run(self) -> None:
        """What each thread does."""
