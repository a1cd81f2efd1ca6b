"""The rules that tell from a reply's text why a delivery failed: an ordered list, a user's own first.

In: a file of rules, or none. Out: `Rules`, which finds the rules that fit an answer, in their order.
Refused: `RulesError` with all mistakes at once (see `rulefile`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sendgate.feedback.event import Phase
from sendgate.feedback.pattern import Keys, Pattern
from sendgate.feedback.rulefile import Rule, RulesError, read_rules

__all__ = ["BUILTIN", "Rule", "Rules", "RulesError", "load_rules", "read_rules"]

MAX_RUNS = 20_000
"""Runs of letters that are remembered,"""
MAX_RUN = 40
"""when they are no longer than this."""
BUILTIN = Path(__file__).with_name("rules.yaml")
_LETTERS = re.compile(r"[^\W\d_]+")


class Rules:
    """Rules in their order, and an index that says which patterns are worth a try.

    A text is taken apart into runs of letters. Each run has a bit for every need of a pattern that is in it (see
    `pattern`); what a run has is kept, since replies say the same words again and again. Nearly all patterns
    then lack a need, and only a few expressions are tried.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        tries = [(rule, pattern) for rule in self.rules for pattern in rule.patterns or (None,)]
        self._tries: list[tuple[Rule, Pattern | None, int]] = []
        self._always = 0
        self._bits: dict[str, int] = {}
        self._runs: dict[str, int] = {}
        shared: dict[Keys, int] = {}
        for number, (rule, pattern) in enumerate(tries):
            first, *others = pattern.needs if pattern and pattern.needs else (None,)
            if first is None:
                self._always |= 1 << number
            else:
                self._note(first, 1 << number)
            further = 0
            for need in others:
                assert need is not None
                if need not in shared:
                    shared[need] = 1 << (len(tries) + len(shared))
                    self._note(need, shared[need])
                further |= shared[need]
            self._tries.append((rule, pattern, further))
        self._firsts = (1 << len(tries)) - 1
        self._longest = max(map(len, self._bits), default=0)

    def __len__(self) -> int:
        return len(self.rules)

    def find(self, text: str, code: str, enhanced: str, phase: Phase, host: str = "") -> Iterator[Rule]:
        """The rules that fit, in their order. `text` as `classify.fold` makes it."""
        there = self._there(text)
        left = (there | self._always) & self._firsts
        done: Rule | None = None
        while left:
            lowest = left & -left
            left ^= lowest
            rule, pattern, further = self._tries[lowest.bit_length() - 1]
            if rule is done or further & ~there or (pattern and not pattern.expression.search(text)):
                continue
            done = rule
            if rule.meets(text, code, enhanced, phase, host):
                yield rule

    def _note(self, keys: Keys, bit: int) -> None:
        for key in keys:
            self._bits[key] = self._bits.get(key, 0) | bit

    def _there(self, text: str) -> int:
        """The bits of all needs that a text meets."""
        found = 0
        runs = self._runs
        for run in set(_LETTERS.findall(text)):
            bits = runs.get(run)
            if bits is None:
                bits = self._bits_of(run)
                if len(run) <= MAX_RUN:
                    if len(runs) >= MAX_RUNS:
                        runs.clear()
                    runs[run] = bits
            found |= bits
        return found

    def _bits_of(self, run: str) -> int:
        found = 0
        bits = self._bits
        for start in range(len(run)):
            for end in range(start + 1, min(start + self._longest, len(run)) + 1):
                found |= bits.get(run[start:end], 0)
        return found


def load_rules(user_file: Path | None = None) -> Rules:
    """The rules that come with Sendgate, after those of `user_file`. Raises RulesError."""
    return _builtin() if user_file is None else Rules((*read_rules(user_file), *_builtin().rules))


@functools.cache
def _builtin() -> Rules:
    return Rules(read_rules(BUILTIN, ours=True))
