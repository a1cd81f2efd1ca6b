"""Times as people and files write them.

In: Unix seconds, ISO 8601 dates and times (UTC unless they say otherwise), durations such as 30d, `never`.
Out: Unix seconds. Refused: `EntryError`, for what is no time and what a store cannot hold (before 1970, after 2106).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sendgate.entry import MAX_TIME, EntryError
from sendgate.units import parse_duration

_NUMBER = re.compile(r"\d+(?:\.\d*)?")
_COMPACT_DATE = re.compile(r"(?:19|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_DURATION = re.compile(r"\d+\s*[A-Za-z]+")


def parse_time(text: str) -> int:
    """Unix seconds from `1767225600`, `2026-01-01` or `2026-01-01T12:00:00+02:00`."""
    text = text.strip()
    if _COMPACT_DATE.fullmatch(text):
        raise EntryError(f"{text!r} could be a date or seconds; write dates as {text[:4]}-{text[4:6]}-{text[6:]}")
    is_number = _NUMBER.fullmatch(text)
    return _checked(text, int(text.partition(".")[0][:20]) if is_number else _from_iso(text))


def parse_expiry(text: str, now: int) -> int | None:
    """When an entry ends: a time, a duration from `now`, or None for `never` (or nothing)."""
    text = text.strip()
    if text.lower() in ("", "never"):
        return None
    if _DURATION.fullmatch(text):
        try:
            return _checked(text, now + parse_duration(text))
        except ValueError as error:
            raise EntryError(f"{text!r} {error}") from None
    seconds = parse_time(text)
    if seconds == 0:
        raise EntryError(f"{text!r} is no expiry; write never for an entry without one")
    return seconds


def iso(seconds: int) -> str:
    """`2026-01-01T00:00:00Z`, which `parse_time` reads back to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _from_iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise EntryError(f"{text!r} is no time; write 2026-12-31, 2026-12-31T23:59:59Z or Unix seconds") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


def _checked(text: str, seconds: int) -> int:
    if not 0 <= seconds <= MAX_TIME:
        raise EntryError(f"{text!r} is out of range: 1970 to 2106, in seconds (not milliseconds)")
    return seconds
