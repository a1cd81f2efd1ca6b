"""A dialogue file: an SMTP dialogue (see `trial.dialogue`) whose comments say what it needs and what it leaves.

In: a text file. Out: a `Script`. Refused: ValueError, for a heading that cannot be read or is missing.

    # Shows: in words, what the dialogue is about
    # Settings: the variant of settings it runs with (`smtp.variants`), `shipped` when absent
    # Listed: REASON [scope=S] [list=L] [expires=SECONDS FROM NOW] SUBJECT
    # Counted: CAMPAIGN DECISION REASON HOW-OFTEN         all of sendgate_recipients_total that the dialogue adds
    # Messages: CAMPAIGN HOW-OFTEN                        the same of sendgate_messages_total
    # Traps: CAMPAIGN HOW-OFTEN                           the same of sendgate_trap_hits_total
    # Delivered: ADDRESS, ADDRESS                         all recipients that the next hop gets, as it gets them
    # Held: ADDRESS, ADDRESS                              all recipients in Postfix's hold queue

A heading can be there several times. What none of them tells must not happen.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sendgate.entry import Entry, parse_reason, parse_scope, parse_subject
from trial.dialogue import Dialogue, parse

FOLDER = Path(__file__).parent / "dialogues"
_HEADING = re.compile(r"^# (Shows|Settings|Listed|Counted|Messages|Traps|Delivered|Held): (.+)$", re.MULTILINE)
_LISTED = re.compile(r"(\w+)((?: (?:scope|list|expires)=\S+)*) (.+)")

Counts = Counter[tuple[str, ...]]


@dataclass
class Script:
    """What a file says. `counts`: metrics as (name, labels...), with how much is added to each."""

    shows: str
    settings: str
    dialogue: Dialogue
    listed: list[Entry] = field(default_factory=list)
    counts: Counts = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)

    @property
    def logged(self) -> Counts:
        """The log lines that these counts mean: (campaign, decision, reason) of every recipient that did not pass."""
        return Counter({key[1:]: n for key, n in self.counts.items() if key[0] == "recipients" and key[2] != "pass"})


def load(path: Path) -> Script:
    """Read a dialogue file."""
    return read(path.read_text(encoding="utf-8"), path.name)


def read(text: str, name: str = "dialogue") -> Script:
    """Read the text of a dialogue file; name: for messages about it."""
    script = Script("", "shipped", parse(text))
    for heading, value in _HEADING.findall(text):
        match heading:
            case "Shows":
                script.shows = value
            case "Settings":
                script.settings = value
            case "Listed":
                script.listed.append(entry_of(value))
            case "Counted" | "Messages" | "Traps":
                metric = {"Counted": "recipients", "Messages": "messages", "Traps": "traps"}[heading]
                *labels, count = value.split()
                script.counts[metric, *labels] += int(count)
            case "Delivered":
                script.delivered.update(value.split(", "))
            case "Held":
                script.held.update(value.split(", "))
    if not script.shows:
        raise ValueError(f"{name} does not say what it shows")
    return script


def entry_of(text: str) -> Entry:
    """Read what follows `Listed:`."""
    match = _LISTED.fullmatch(text)
    if not match:
        raise ValueError(f"no entry: {text!r}")
    options = dict(option.split("=", 1) for option in match[2].split())
    expires = int(time.time()) + int(options["expires"]) if "expires" in options else None
    return Entry(
        parse_subject(match[3]),
        parse_reason(match[1]),
        parse_scope(options.get("scope", "*")),
        options.get("list", "default"),
        expires=expires,
    )
