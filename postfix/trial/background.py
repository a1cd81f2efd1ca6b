"""What goes on in threads while a test, or a demo, does something else.

In: a class with `_run`. Out: its threads, from the start of a `with` to its end.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Background(ABC):
    """Runs `_run` in threads of its own. Context manager. `_run` ends soon after `_stop` is set."""

    _patience_seconds = 60.0

    def __init__(self, threads: int = 1) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Let each thread finish what it has begun, and wait for it. Raises AssertionError when one does not end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self._patience_seconds)
            assert not thread.is_alive(), f"{type(self).__name__} waits for something that does not come"

    @abstractmethod
    def _run(self) -> None:
        """What each thread does."""
