"""Patterns of rules: a safe part of regular expressions, made to search folded reply texts quickly.

In: a pattern as rules have it. Out: a compiled expression, and the words that every match holds, so that most
patterns need not be tried. A space stands for a space or none; letters match without case and accents.
Refused: `PatternError`: what is no regular expression, what is not in the safe part, what could take long.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

REACH = 100
"""Characters that `*` and `+` reach at most."""
MAX_EFFORT = 20_000
"""Most ways in which a pattern may match from one place: the product of what its parts may take."""
MAX_LENGTH = 2_000
MAX_NEEDS = 3
MAX_TEXTS = 256
"""Texts that a part is written out as, to see which of them begin with one another."""
_LETTERS = re.compile(r"[^\W\d_]+")
_PLAIN = str.maketrans("łøđı’‘`´“”–—", "lodi''''\"\"--")
"""Letters that do not come apart into one of ASCII and an accent, and the quotation marks of word processors."""
_QUANTIFIER = re.compile(r"[*+?]|\{(\d{0,4})(?:(,)(\d{0,4}))?\}")
_GROUPS = ("(?:", "(?=", "(?!", "(?<=", "(?<!")


class PatternError(ValueError):
    """A pattern that is not used, and what to write instead."""


Keys = frozenset[str]
"""Letters, without anything between, one of which a match holds."""


class Pattern(NamedTuple):
    """An expression for folded text. A match holds one word at least of each of `needs`, the rarest first."""

    expression: re.Pattern[str]
    needs: tuple[Keys, ...]


@dataclass(slots=True)
class _Part:
    """What was read of a pattern.

    needs: what a match holds; effort: in how many ways it may match at one place; fixed: it repeats
    nothing; literal: the character that it is; texts: all that it matches, when that is a few texts.
    """

    source: str
    needs: tuple[Keys, ...] = ()
    effort: int = 1
    fixed: bool = True
    literal: str = ""
    texts: tuple[str, ...] | None = None


def strip_accents(text: str) -> str:
    """Without case and accents, as texts and patterns meet."""
    if text.isascii():
        return text.lower()
    marked = unicodedata.normalize("NFKD", text.casefold().translate(_PLAIN))
    return "".join(char for char in marked if not unicodedata.combining(char))


def compile_pattern(text: str) -> Pattern:
    """A pattern of a rule. Raises PatternError."""
    if not text.strip():
        raise PatternError("is empty; write what the reply says")
    if len(text) > MAX_LENGTH:
        raise PatternError(f"is longer than {MAX_LENGTH} characters; split it")
    reader = _Reader(text)
    try:
        part = reader.alternatives(0)
    except RecursionError:
        raise PatternError("has too many parentheses") from None
    if reader.at < len(text):
        raise PatternError("has a ) without its (; write \\) for the character")
    if part.effort > MAX_EFFORT:
        raise PatternError("could take long: too many wide repetitions; bound them, as in .{0,40}")
    try:
        expression = re.compile(part.source)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"is no regular expression: {error}") from None
    if expression.search("") is not None:
        raise PatternError("matches every text; write what the reply says")
    return Pattern(expression, part.needs)


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.behind = False
        """Whether a look-behind is being read, which must have one length."""

    def alternatives(self, depth: int) -> _Part:
        """Everything up to the closing parenthesis or the end."""
        if depth > 20:
            raise PatternError("has too many parentheses")
        branches = [self._sequence(depth)]
        while self._peek() == "|":
            self.at += 1
            branches.append(self._sequence(depth))
        if len(branches) == 1:
            return branches[0]
        needs: tuple[Keys, ...] = ()
        if all(branch.needs for branch in branches):
            needs = (frozenset().union(*(branch.needs[0] for branch in branches)),)
        texts = _joined(branches)
        written = [text for branch in branches for text in branch.texts or ()]
        effort = _ways(written) + sum(branch.effort for branch in branches if branch.texts is None)
        fixed = texts is not None and effort == 1
        return _Part("|".join(branch.source for branch in branches), needs, effort, fixed, texts=texts)

    def _sequence(self, depth: int) -> _Part:
        parts: list[_Part] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom(depth)))
        texts: tuple[str, ...] | None = ("",)
        effort = 1
        for part in parts:
            effort = min(effort * part.effort, MAX_EFFORT + 1)
            texts = _products(texts, part.texts)
        if texts is not None:
            effort = min(effort, _ways(texts))
        fixed = all(part.fixed for part in parts)
        return _Part("".join(part.source for part in parts), _needs(parts), effort, fixed, texts=texts)

    def _atom(self, depth: int) -> _Part:
        char = self._peek()
        if char == "(":
            return self._group(depth)
        if char == "[":
            return self._class()
        self.at += 1
        if char == "\\":
            return self._escape()
        if char == " ":
            return _Part(" " if self.behind else " ?", texts=(" ",))
        if char in ".^$":
            return _Part(char)
        if char in "*+?":
            raise PatternError(f"has nothing to repeat before {char}; write \\{char} for the character")
        folded = strip_accents(char)
        return _Part(re.escape(folded), literal=folded, texts=(folded,))

    def _group(self, depth: int) -> _Part:
        start = next((one for one in _GROUPS if self.text.startswith(one, self.at)), "(")
        if start == "(" and self.text.startswith("(?", self.at):
            raise PatternError("has a group that rules do not know; write (?:...), (?=...), (?!...) or (...)")
        self.at += len(start)
        outside, self.behind = self.behind, self.behind or "<" in start
        inner = self.alternatives(depth + 1)
        self.behind = outside
        if self._peek() != ")":
            raise PatternError("has a ( without its ); write \\( for the character")
        self.at += 1
        needed = start in ("(", "(?:")
        source = f"{'(?:' if needed else start}{inner.source})"
        return _Part(source, inner.needs if needed else (), inner.effort, inner.fixed, texts=inner.texts)

    def _class(self) -> _Part:
        end = self.text.find("]", self.at + 2)
        while end > 0 and self.text[end - 1] == "\\":
            end = self.text.find("]", end + 1)
        if end < 0:
            raise PatternError("has a [ without its ]; write \\[ for the character")
        inner = self.text[self.at : end + 1]
        self.at = end + 1
        return _Part("".join(one if one[0] == "\\" else strip_accents(one) for one in re.findall(r"\\?.", inner)))

    def _escape(self) -> _Part:
        char = self._peek()
        self.at += 1
        if char in ("b", "B", "d", "D", "s", "S", "w", "W"):
            return _Part("\\" + char)
        if not char or char.isalnum():
            raise PatternError(f"has \\{char}, which rules do not know; they know \\b \\d \\s \\w and their opposites")
        return _Part(re.escape(char), literal=char, texts=(char,))

    def _repeated(self, part: _Part) -> _Part:
        match = _QUANTIFIER.match(self.text, self.at)
        if match is None:
            return part
        self.at = match.end()
        least, most = _bounds(match)
        lazy = ""
        if self._peek() == "?":
            self.at += 1
            lazy = "?"
        if _QUANTIFIER.match(self.text, self.at):
            raise PatternError("repeats a repetition; write one of them")
        if most > 1 and not (part.fixed and part.source and "" not in (part.texts or ())):
            raise PatternError("repeats what itself repeats or has similar choices; write it without, as [ab]{1,20}")
        ways = max(1, most - least + 1)
        source = part.source if part.source != " ?" else " "
        needs = (part.needs or _keys(part.literal)) if least else ()
        texts = ("", *part.texts) if (least, most) == (0, 1) and part.texts is not None else None
        effort = min(part.effort * ways, MAX_EFFORT + 1)
        return _Part(f"{source}{{{least},{most}}}{lazy}", needs, effort, fixed=False, texts=texts)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]


def _bounds(match: re.Match[str]) -> tuple[int, int]:
    simple = {"*": (0, REACH), "+": (1, REACH), "?": (0, 1)}.get(match[0])
    if simple:
        return simple
    least = int(match[1] or 0)
    most = (int(match[3]) if match[3] else REACH) if match[2] else least
    if most < least or most > 1_000:
        raise PatternError(f"has {match[0]}, which is no range up to 1000")
    return least, most


def _joined(parts: list[_Part]) -> tuple[str, ...] | None:
    """All texts of alternatives."""
    found: list[str] = []
    for part in parts:
        if part.texts is None or len(found) > MAX_TEXTS:
            return None
        found.extend(part.texts)
    return tuple(found)


def _products(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """All texts of one part and another after it."""
    if first is None or second is None or len(first) * len(second) > MAX_TEXTS:
        return None
    return tuple(one + two for one in first for two in second)


def _ways(texts: Iterable[str]) -> int:
    """How many of some texts can be found at one place: those that begin with one another."""
    most = 0
    under: list[str] = []
    for text in sorted(texts):
        while under and not text.startswith(under[-1]):
            under.pop()
        under.append(text)
        most = max(most, len(under))
    return most


def _keys(literal: str) -> tuple[Keys, ...]:
    """The letters of a literal that are next to each other; a single one of ASCII is too common to help."""
    word = max(_LETTERS.findall(literal), key=len, default="")
    return (frozenset((word,)),) if len(word) > 1 or not word.isascii() else ()


def _needs(parts: list[_Part]) -> tuple[Keys, ...]:
    """All that a sequence needs, first what is the least likely to be there by chance: long words."""
    found: list[Keys] = []
    run = ""
    for part in [*parts, _Part("")]:
        if part.literal and not part.needs and part.fixed:
            run += part.literal
            continue
        found.extend(_keys(run))
        run = ""
        found.extend(part.needs)
    found.sort(key=lambda keys: (-min(map(len, keys)), len(keys)))
    return tuple(dict.fromkeys(found))[:MAX_NEEDS]
