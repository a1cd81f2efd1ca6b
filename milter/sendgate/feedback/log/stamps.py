"""Time stamps of a log: RFC 3164 (`Dec 31 23:59:59`, local time, without a year) and RFC 3339.

In: the stamp as written, and the present, from which the year is taken. Out: Unix time in seconds.
Nothing is refused; a stamp that is none counts as the present.

A stamp without a year is the latest such time that is not in the future: December read in January is last year's.
"""

from __future__ import annotations

import re
import time
from datetime import datetime
from functools import lru_cache

AHEAD_SECONDS = 86400
"""So far a stamp may be ahead of our clock and still mean this year: clocks differ, and so do time zones."""
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WITHOUT_YEAR = re.compile(r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (?:(\d{4}) )?(\d\d):(\d\d):(\d\d)")
_LEAP_YEARS_APART = 8
_HOUR = 3600


def unix_time(stamp: str, now: float) -> int:
    """The Unix time of a stamp that was written before `now`, or hardly after."""
    return _read(stamp, int(now) // _HOUR * _HOUR)


@lru_cache(maxsize=4096)
def _read(stamp: str, now: int) -> int:
    try:
        found = _WITHOUT_YEAR.match(stamp)
        if found is None:
            return int(datetime.fromisoformat(stamp.replace(",", ".")).timestamp())
        month, day, year, *clock = found.groups()
        hour, minute, second = map(int, clock)
        years = [int(year)] if year else range(time.localtime(now).tm_year + 1, 0, -1)
        return _latest(years, _MONTHS[month], int(day), (hour, minute, second), now)
    except (ValueError, KeyError, OverflowError):
        return now


def _latest(years: list[int] | range, month: int, day: int, clock: tuple[int, int, int], now: int) -> int:
    # 29 February may be as many years away
    for year in years[: _LEAP_YEARS_APART + 2]:
        try:
            at = int(datetime(year, month, day, *clock).timestamp())
        except ValueError:
            continue
        if len(years) == 1 or at <= now + AHEAD_SECONDS:
            return at
    return now
