"""Quantities of the API ("500m", "1280Mi", "2k") as numbers.

In: text. Out: a number in the unit of the quantity (cores, bytes, pieces), and how the API server writes it.
Refused: ValueError for what the API does not take.
"""

from __future__ import annotations

import re
from fractions import Fraction

_DECIMAL = {"m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9)}
_BINARY = {f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGT", 1)}
_FORM = re.compile(r"(\d+(?:\.\d+)?)(m|k|[MG]|[KMGT]i|)")


def amount(text: object) -> Fraction:
    """What the quantity is. Raises ValueError."""
    found = _FORM.fullmatch(str(text))
    if not found:
        raise ValueError(f"not a quantity: {text}")
    return Fraction(found[1]) * {**_DECIMAL, **_BINARY}[found[2]]


def canonical(text: object) -> str:
    """As the API server gives it back: the largest suffix of its family without a fraction. Raises ValueError."""
    value = amount(text)
    family = _BINARY if str(text).endswith("i") else _DECIMAL
    for suffix, size in sorted({**family, "": Fraction(1)}.items(), key=lambda one: -one[1]):
        if value % size == 0:
            return f"{value / size}{suffix}"
    raise ValueError(f"too fine: {text}")
