"""Judge what a report says about one recipient: the words that tell most, and what they mean.

In: a `Mention`, the lines of its report, the rules. Out: a `Judgement`. Nothing is refused.
The words in a field for them come first, then those around the address, then the rest of the report; the first that
mean anything count. Codes of fields of their own count with all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from sendgate.feedback.classify import classify, codes_of
from sendgate.feedback.event import Answer, BounceType, EventClass, Phase, Verdict
from sendgate.feedback.mail.addresses import spelling
from sendgate.feedback.mail.blocks import Lines
from sendgate.feedback.mail.mention import Mention
from sendgate.feedback.mail.phrases import HEDGE, fold
from sendgate.feedback.rules import Rules

MOST_WORDS = 3000
_MOST_TRIED = 4
_SENTENCE = re.compile(r"(?:[^.!?。！？]|[.!?](?!\s))*(?:[.!?](?=\s)|[。！？]|$)\s*")
_FEW = 20
"""Recipients up to which the whole report is searched for each."""

_AFTER = (
    r"(?:after|reply to|response to|like our|failed on|>>>|<--|-->|sent <<<|sent:?|\[|smtp:|command:?|to our|final|^)"
    r"\s?<?"
)
_PHASES: tuple[tuple[tuple[str, ...], re.Pattern[str], Phase], ...] = (
    (
        ("rcpt", "not like recipient"),
        re.compile(rf"{_AFTER}rcpt\b|{_AFTER}rcpt_to|not like recipient|rcpt to generated"),
        Phase.RCPT,
    ),
    (
        ("mail ", "mail_", "mail>", "mail:", "sender was"),
        re.compile(rf"{_AFTER}mail(?:[ _]from)?\b(?! server| host)|sender was rejected"),
        Phase.MAIL,
    ),
    (("helo", "ehlo", "my name"), re.compile(rf"{_AFTER}(?:helo|ehlo)\b|my name was rejected"), Phase.HELO),
    (
        ("initial", "greeting", "to talk to me"),
        re.compile(r"after initial connection|greeting failed|initial greeting|refused to talk to me|in the greeting"),
        Phase.CONNECT,
    ),
    (
        ("end of", "sending", "message body", "i sent", "transmitting", "final data"),
        re.compile(
            rf"{_AFTER}(?:the )?(?:end of (?:data|message)|sending data|message body|data)\b"
            r"|after (?:i sent|transmitting) (?:the )?message"
        ),
        Phase.END_OF_DATA,
    ),
    (("data",), re.compile(rf"{_AFTER}data\b"), Phase.DATA),
)
"""Words without one of which a phase is not named; how it is named; the phase."""
_NAME = r"([a-z0-9][a-z0-9.-]{2,253}\.[a-z]{2,24})"
_HOST = (
    re.compile(rf"\bhost:? {_NAME}[\s:]{{0,2}}\["),
    re.compile(rf"(?:while talking to|conversation with|connected to|remote (?:host|server|mta)[: ]) ?{_NAME}"),
    re.compile(
        rf"\b{_NAME} (?:\[[0-9a-f.:]{{3,45}}\] )?(?:said|gave this error|rejected your message"
        r"|did not like|does not like)"
    ),
)


class Judgement(NamedTuple):
    """What is to be thought of one recipient. words: those that were judged."""

    verdict: Verdict
    words: str
    code: str
    status: str


def judge(mention: Mention, lines: Lines, names: set[str], rules: Rules, *, deferred: bool, persons: int) -> Judgement:
    """Judge a mention. names: all spellings under which the report may speak of it; persons: of how many it speaks."""
    first: Judgement | None = None
    tried: set[str] = set()
    for words in _words(mention, lines, names, persons):
        key = " ".join(words.split())
        if not key or key in tried or len(tried) >= _MOST_TRIED:
            continue
        tried.add(key)
        one = _judge_words(words[:MOST_WORDS], mention, lines, rules, deferred)
        if one.verdict.event_class is EventClass.HARD and words != mention.reason:
            certain = _certain(words[:MOST_WORDS])  # a report's own words may list reasons that are merely possible
            one = one if certain == words else _judge_words(certain, mention, lines, rules, deferred)
        if one.verdict.type is not BounceType.OTHER:
            return _doubted(one, mention, lines, rules) if persons == 1 and mention.action else one
        if first is None or (not first.code and not first.words and one.code):
            first = one
    return first or _judge_words("", mention, lines, rules, deferred)


def _doubted(judged: Judgement, mention: Mention, lines: Lines, rules: Rules) -> Judgement:
    """What is to be thought when the fields say that a mailbox is gone, and the report's words that it is full."""
    if judged.verdict.event_class is not EventClass.HARD:
        return judged
    other = _judge_words(lines.report.text[:MOST_WORDS], replace(mention, status="", code=""), lines, rules, False)
    return other if other.verdict.type is BounceType.FULL else judged


def phase_in(text: str) -> Phase:
    """The phase of the SMTP session that a text names; the last one that it names counts."""
    last, found = -1, Phase.UNKNOWN
    text = text.lower()
    for words, pattern, phase in _PHASES:
        if any(word in text for word in words):
            start = max((match.start() for match in pattern.finditer(text)), default=-1)
            if start > last:
                last, found = start, phase
    return found


def host_in(text: str) -> str:
    """The host that gave an answer, as far as the words name it."""
    for pattern in _HOST:
        match = pattern.search(text[:MOST_WORDS].lower())
        if match:
            return match[1]
    return ""


def _words(mention: Mention, lines: Lines, names: set[str], persons: int) -> Iterator[str]:
    """What may tell of a recipient: its fields, the words at its address; then all that belong to no other."""
    if mention.reason and mention.action:
        yield mention.reason
    found = [] if mention.action else [mention.reason]
    found += lines.reasons_about(names)
    if persons <= _FEW:
        found += [lines.coded(names), lines.rest(names)]
    if persons == 1:  # all words are about this one, and those with a code tell most
        found.sort(key=lambda one: codes_of(one) == ("", ""))
    yield from (one for one in found if one)


def _certain(words: str) -> str:
    """Words without the sentences that tell of merely possible reasons; a list of those ends what is certain."""
    if not HEDGE.are_in(fold(words)):
        return words
    certain: list[str] = []
    for sentence in _SENTENCE.findall(words):
        if not HEDGE.are_in(fold(sentence)):
            certain.append(sentence)
        elif ":" in sentence or "：" in sentence:
            break
    return "".join(certain)


def _judge_words(words: str, mention: Mention, lines: Lines, rules: Rules, deferred: bool) -> Judgement:
    code, told = codes_of(words)
    code = mention.code or code
    status = mention.status
    if told and (not status or (status.endswith(".0.0") and told[0] == status[0])):
        status = told
    host = mention.host or host_in(words)
    verdict = classify(Answer(words, code, status, _phase(words, mention, lines), deferred, host), rules)
    return Judgement(verdict, words, code, status)


def _phase(words: str, mention: Mention, lines: Lines) -> Phase:
    """The phase that the words name; else that which the report's own line about the recipient names."""
    found = phase_in(words)
    if found or not mention.action:
        return found
    return next(
        (phase for one in lines.reasons_about({spelling(mention.recipient)}) if (phase := phase_in(one))), found
    )
