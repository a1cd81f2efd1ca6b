"""How long to wait before a process that keeps dying is started again.

In: deaths, with the age at death. Out: whether a role may start now. Times are monotonic seconds.
"""

from __future__ import annotations

DELAYS_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0)
YOUNG_SECONDS = 10.0


class Backoff:
    """Delays by role. Only deaths at a young age in a row count; the first costs no delay."""

    def __init__(self) -> None:
        self._deaths: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def died(self, role: str, age: float, now: float) -> None:
        """A process of `role` has died unasked at an age of so many seconds."""
        self._deaths[role] = self._deaths.get(role, 0) + 1 if age < YOUNG_SECONDS else 1
        delay = DELAYS_SECONDS[min(self._deaths[role], len(DELAYS_SECONDS)) - 1]
        self._not_before[role] = now + delay

    def may_start(self, role: str, now: float) -> bool:
        """Whether a process of `role` may be started at `now`."""
        return now >= self._not_before.get(role, 0.0)
