"""Wait for a condition with a deadline, instead of sleeping and hoping.

In: a predicate, a time limit, and what is awaited in words. Out: the first true value of the predicate.
Refused: TimeoutError, with the words, when the time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.1


def wait_until(predicate: Callable[[], Value | None], timeout: float, what: str) -> Value:
    """Ask until the answer is true; the pauses grow from 5 to 100 ms. Returns that answer."""
    deadline = time.monotonic() + timeout
    pause = FIRST_PAUSE
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
