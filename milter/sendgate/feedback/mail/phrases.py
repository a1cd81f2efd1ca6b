"""The phrases by which reports are known: data in `phrases.yaml`, compiled once.

In: the data file. Out: `Phrases`, one for each use. Nothing is refused but a mistake in the data.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import yaml

from sendgate.feedback.pattern import Pattern, compile_pattern, strip_accents

_PAGE = re.compile(r"https?://[!-~]{1,500}", re.IGNORECASE)
_FILE = Path(__file__).parent.with_name("phrases.yaml")


class Phrases:
    """Some patterns, and for each word that they need, those that need it: most texts are told by the words alone."""

    def __init__(self, patterns: list[Pattern]) -> None:
        self._always = [one.expression for one in patterns if not one.needs]
        by_key: dict[str, list[Pattern]] = {}
        for one in patterns:
            for key in one.needs[0] if one.needs else ():
                by_key.setdefault(key, []).append(one)
        self._by_key = tuple((key, tuple(one.expression for one in found)) for key, found in by_key.items())

    def are_in(self, text: str) -> bool:
        """Whether any of the phrases is in a text, as `fold` makes it."""
        tried = {one: None for key, expressions in self._by_key if key in text for one in expressions}
        return any(one.search(text) for one in (*tried, *self._always))


def fold(text: str) -> str:
    """A text as phrases meet it: without case, accents and addresses of pages, each white space one space."""
    if "://" in text:
        text = _PAGE.sub(" ", text)
    return " ".join(strip_accents(text).split())


@functools.cache
def _all() -> dict[str, list[str]]:
    read = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {str(use): [str(pattern) for pattern in patterns] for use, patterns in read.items()}


def _phrases(use: str) -> Phrases:
    return Phrases([compile_pattern(pattern) for pattern in _all()[use]])


FAILURE = _phrases("failure")
SUBJECT = _phrases("subject")
SUCCESS = _phrases("success")
DELAY = _phrases("delay")
FINAL = _phrases("final")
HEDGE = _phrases("hedge")
REPLY = _phrases("reply")
RECEIPT = _phrases("receipt")
