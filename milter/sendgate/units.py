"""Durations and sizes as people write them: `6h`, `30d`, `64MiB`.

In: a text or a number. Out: seconds or bytes, as int. Refused: ValueError that shows the form.
"""

from __future__ import annotations

import re

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_OCTETS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def parse_duration(value: object) -> int:
    """Seconds from `90`, `90s`, `15m`, `6h`, `30d`, `2w` or `1y`."""
    return _parse(value, _SECONDS, "a duration such as 90s, 15m, 6h or 30d")


def parse_size(value: object) -> int:
    """Bytes from `1048576`, `64MiB` or `2GiB`."""
    return _parse(value, _OCTETS, "a size such as 64MiB or 2GiB")


def _parse(value: object, units: dict[str, int], form: str) -> int:
    match = re.fullmatch(r"\s*(\d{1,15})\s*([A-Za-z]*)\s*", str(value))
    if isinstance(value, bool) or not match or match[2].lower() not in units:
        raise ValueError(f"must be {form}")
    return int(match[1]) * units[match[2].lower()]
