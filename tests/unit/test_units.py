"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest

from sendgate.units import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (90, 90),
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("6h", 21_600),
        (" 6 H ", 21_600),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("1y", 31_536_000),
    ],
)
def test_a_duration_is_seconds(text: object, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-5", "1.5h", 1.5, "5 hours", "1h30m", "5mo", True, None, [], "9" * 16])
def test_what_is_no_duration_is_refused_with_the_form(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 90s, 15m, 6h or 30d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "octets"),
    [(1_048_576, 2**20), ("512", 512), ("512B", 512), ("64mib", 2**26), ("2 GiB", 2**31), ("1TiB", 2**40)],
)  # fmt: skip
def test_a_size_is_octets(text: object, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize("text", ["", "64MB", "64M", "1.5GiB", False, None, "-1"])
def test_what_is_no_size_is_refused_with_the_form(text: object) -> None:
    with pytest.raises(ValueError, match="must be a size such as 64MiB or 2GiB"):
        parse_size(text)
