"""How quick the parsers of feedback are: messages, replies and log lines a second of one core's CPU.

In: the product's functions and what to feed them. Out: rates, the median of several passes. What raises is passed over
here: the score has counted it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from statistics import median
from typing import Any, TypeVar

Item = TypeVar("Item")
PASSES = 3


def rate(items: Sequence[Item], work: Callable[[Item], Any], passes: int = PASSES) -> float:
    """Items a second."""
    return len(items) / median(_pass(items, work) for _ in range(passes)) if items else 0.0


def rate_of_stream(items: Sequence[Item], work: Callable[[Iterable[Item]], Any]) -> float:
    """The same for work that takes all of them in order, once."""
    started = time.process_time()
    work(items)
    return len(items) / max(time.process_time() - started, 1e-9)


def _pass(items: Sequence[Item], work: Callable[[Item], Any]) -> float:
    started = time.process_time()
    for item in items:
        with suppress(Exception):
            work(item)
    return max(time.process_time() - started, 1e-9)
