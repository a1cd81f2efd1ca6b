"""The rules that tell from a reply's text why a delivery failed: an ordered list, a user's own first.

In: a file of rules, or none. Out: `Rules`, which finds the rules that fit an answer, in their order.
Refused: `RulesError` with all mistakes at once (see `rulefile`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from sendgate.feedback.event import Phase
from sendgate.feedback.pattern import Pattern
from sendgate.feedback.rulefile import Rule, RulesError, read_rules

__all__ = ["BUILTIN", "Rule", "Rules", "RulesError", "load_rules", "read_rules"]

BUILTIN = Path(__file__).with_name("rules.yaml")


class Rules:
    """Rules in their order, and for each word that patterns need, the patterns that need it.

    Looking for a few hundred words costs a tenth of trying a few hundred expressions.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._always: list[tuple[int, Pattern | None]] = []
        by_key: dict[str, list[tuple[int, Pattern | None]]] = {}
        for number, rule in enumerate(self.rules):
            if not rule.patterns:
                self._always.append((number, None))
            for pattern in rule.patterns:
                if not pattern.keys:
                    self._always.append((number, pattern))
                for key in pattern.keys:
                    by_key.setdefault(key, []).append((number, pattern))
        self._by_key = tuple(by_key.items())

    def __len__(self) -> int:
        return len(self.rules)

    def find(self, text: str, code: str, enhanced: str, phase: Phase, host: str = "") -> Iterator[Rule]:
        """The rules that fit, in their order. `text` as `classify.fold` makes it."""
        tried = self._always.copy()
        for key, patterns in self._by_key:
            if key in text:
                tried += patterns
        tried.sort(key=_number)
        done = -1
        for number, pattern in tried:
            if number == done or (pattern is not None and pattern.expression.search(text) is None):
                continue
            done = number
            rule = self.rules[number]
            if rule.meets(code, enhanced, phase, host) and not any(one.expression.search(text) for one in rule.unless):
                yield rule


def load_rules(user_file: Path | None = None) -> Rules:
    """The rules that come with Sendgate, after those of `user_file`. Raises RulesError."""
    return _builtin() if user_file is None else Rules((*read_rules(user_file), *_builtin().rules))


@functools.cache
def _builtin() -> Rules:
    return Rules(read_rules(BUILTIN))


def _number(tried: tuple[int, Pattern | None]) -> int:
    return tried[0]
