"""A corpus of messages, server replies and log lines, with what each should give.

In: a folder with a `SET.jsonl` for each set, whose rows are told apart by their fields: `file` (a message below the
folder), `line` (of Postfix's log) or `reply`. Out: a `Corpus`. Refused: `CorpusError`, with the remedy, when there is
no such folder, no set in it, or a row that cannot be read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = "SENDGATE_CORPUS"
OWN = Path(__file__).resolve().parent.parent / "tests" / "data" / "feedback" / "corpus"


class CorpusError(RuntimeError):
    """There is nothing to measure with; the message says what helps."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One recipient a message is about: its spellings, the class it should get, the classes that are tolerated."""

    any_of: frozenset[str]
    expected: str
    accept: frozenset[str]
    redacted: bool

    def __str__(self) -> str:
        return "|".join(sorted(self.any_of)) or "(redacted)"


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message. must_suppress: persons, each by the spellings of which one will do; allowed: the classes that an
    event may have at all, empty for any."""

    file: str
    data: bytes = field(repr=False)
    recipients: tuple[Expected, ...]
    must_suppress: tuple[frozenset[str], ...]
    must_not_suppress: frozenset[str]
    nobody: bool
    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReplyRow:
    reply: str
    smtp_code: str
    enhanced: str
    phase: str
    expected: str
    accept: frozenset[str]


@dataclass(frozen=True, slots=True)
class LogRow:
    """A line of the log. fields: what is to be read from it; None when anything goes that raises nothing.

    silent: nobody may get an event of a failure from it. recipient: "" when it names none.
    """

    line: str
    fields: Mapping[str, Any] | None
    expected: str
    accept: frozenset[str]
    recipient: str
    no_event: bool
    probe: bool

    @property
    def silent(self) -> bool:
        return self.no_event or self.probe


@dataclass(slots=True)
class Corpus:
    """The sets by name, in the order of their names."""

    folder: Path
    messages: dict[str, list[MessageRow]] = field(default_factory=dict)
    replies: dict[str, list[ReplyRow]] = field(default_factory=dict)
    lines: dict[str, list[LogRow]] = field(default_factory=dict)


def find_folder(given: Path | None) -> Path:
    """The folder that was given, else the one that SENDGATE_CORPUS names, else the project's own."""
    named = given or Path(os.environ[VARIABLE]) if given or os.environ.get(VARIABLE) else OWN
    if not named.is_dir():
        raise CorpusError(
            f"accuracy: no corpus at {named}; name a folder with SET.jsonl files by --corpus DIR or {VARIABLE}=DIR"
        )
    return named


def read_corpus(folder: Path) -> Corpus:
    """All sets of a folder."""
    corpus = Corpus(folder)
    for path in sorted(folder.glob("*.jsonl")):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not text.strip():
                continue
            try:
                _take(corpus, path.stem, json.loads(text))
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise CorpusError(f"accuracy: {path}:{number}: {type(error).__name__}: {error}") from None
    if not (corpus.messages or corpus.replies or corpus.lines):
        raise CorpusError(
            f"accuracy: {folder} has no set; a set is a file SET.jsonl, a row a line, beside its messages"
        )
    return corpus


def _take(corpus: Corpus, name: str, row: Mapping[str, Any]) -> None:
    if "file" in row:
        corpus.messages.setdefault(name, []).append(_message(corpus.folder, row))
    elif "line" in row:
        corpus.lines.setdefault(name, []).append(_line(row))
    else:
        corpus.replies.setdefault(name, []).append(_reply(row))


def _message(folder: Path, row: Mapping[str, Any]) -> MessageRow:
    return MessageRow(
        row["file"],
        (folder / row["file"]).read_bytes(),
        tuple(_expected(recipient) for recipient in row.get("recipients") or ()),
        tuple(_spellings(person) for person in row.get("must_suppress") or ()),
        _spellings(row.get("must_not_suppress") or ()),
        bool(row.get("must_not_suppress_anybody")),
        frozenset(row.get("allowed_classes") or ()),
    )


def _expected(recipient: Mapping[str, Any]) -> Expected:
    wanted = recipient["expected_class"]
    accept = frozenset(recipient.get("accept") or (wanted,))
    return Expected(_spellings(recipient["any_of"]), wanted, accept, bool(recipient.get("redacted")))


def _spellings(texts: Any) -> frozenset[str]:
    return frozenset(text.lower() for text in ([texts] if isinstance(texts, str) else texts))


def _reply(row: Mapping[str, Any]) -> ReplyRow:
    smtp_code, enhanced, phase = (str(row.get(name) or "") for name in ("smtp_code", "enhanced", "phase"))
    wanted = row["expected_class"]
    return ReplyRow(row["reply"], smtp_code, enhanced, phase, wanted, frozenset(row.get("accept") or (wanted,)))


def _line(row: Mapping[str, Any]) -> LogRow:
    no_event = bool(row.get("no_event"))
    fields = row.get("parse") or None
    wanted = row.get("expected_class") or "none"
    accept = frozenset(row.get("accept") or (wanted,))
    return LogRow(row["line"], fields, wanted, accept, row.get("recipient") or "", no_event, bool(row.get("probe")))
