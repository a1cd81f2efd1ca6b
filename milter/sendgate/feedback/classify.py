"""What an answer of a server means: the reason why a delivery failed, and how much that says about the recipient.

In: an `Answer`, `Rules`. Out: a `Verdict`. Nothing is refused; no text makes it fail or take long.
The order: deferred or 4xx is never hard; an error at connect, HELO or MAIL FROM concerns the sender and is never
hard either; then the first text rule that fits; the enhanced code; the first digit. When in doubt, not hard.
"""

from __future__ import annotations

import functools
import re

from sendgate.feedback.codes import type_of_code
from sendgate.feedback.event import Answer, BounceType, EventClass, Phase, Verdict
from sendgate.feedback.pattern import strip_accents
from sendgate.feedback.rules import Rules

MAX_TEXT = 3_000
"""Characters of a reply that are looked at. RFC 5321 allows 512 a line; transcripts of sessions are longer."""

HARD = frozenset((BounceType.BAD_MAILBOX, BounceType.INACTIVE, BounceType.BAD_DOMAIN))
BLOCK = frozenset(
    (BounceType.POLICY, BounceType.CONTENT, BounceType.REPUTATION, BounceType.RATE, BounceType.AUTHENTICATION)
)
SENDER_PHASES = frozenset((Phase.CONNECT, Phase.HELO, Phase.MAIL))

_REMEMBERED = 256
"""Texts whose codes are kept: a report is asked about the same words several times."""
_CODE = r"[245]\d\d"
_ENHANCED = r"[245]\.\d\.\d{1,3}(?!\d|\.\d)"
_BOTH = re.compile(rf"(?<![\w.])({_CODE})(?:[- ](?:[-#(' ]{{0,4}}({_ENHANCED}))?|$|(?=[,:;<]))")
_ENHANCED_ALONE = re.compile(rf"(?<![\d.])({_ENHANCED})")
_SAID = re.compile(r"\b(?:said|refused to talk to me|returned|responded with):? '?(?=[245]\d\d[ -])", re.IGNORECASE)
_OWN = re.compile(
    r"recipient suppressed: [a-z_]{2,40} \(ref [\w-]{1,80}\)|suppression list (?:not available|out of date), try again"
    r"|: send this recipient in another message|>: recipient address not understood",
    re.IGNORECASE,
)
_OWN_WORDS = ("suppress", "send this recipient in", "recipient address not understood")
_ADDRESS = re.compile(r"(?:(?<=[\s<>()\"':;,\[\]=/])|^)[^\s<>()\"':;,\[\]=/]{1,64}@(?:[\w-]{1,63}\.){0,8}[\w-]{1,63}")
_IRONPORT = "unknown address error"
"""How IronPort heads the quotation of any refusal."""
_SPACE = re.compile(r"=\r?\n|(?:=20|[^\S ]|[\x00-\x08]| (?= ))(?:=20|[\s\x00-\x1f])*")
_PREFIX = re.compile(rf"(?<![\w.])({_CODE})-(?:{_ENHANCED} ?)?")
_COMMAND = re.compile(r"in reply to (?:the )?(ehlo|helo|lhlo|mail from|rcpt to|end of data|data)\b")
_SENDER_TEXTS = (
    "client host rejected",
    "sender address rejected",
    "helo command rejected",
    "refused to talk to me",
    "mail from command",
    "mail from address rejected",
    "return address rejected",
)
_COMMANDS = {
    "ehlo": Phase.HELO,
    "helo": Phase.HELO,
    "lhlo": Phase.HELO,
    "mail from": Phase.MAIL,
    "rcpt to": Phase.RCPT,
    "data": Phase.DATA,
    "end of data": Phase.END_OF_DATA,
}


def classify(answer: Answer, rules: Rules) -> Verdict:
    """What an answer means. `because` names the rule or the step that decided."""
    text = fold(answer.reply)
    code, enhanced = _codes(answer)
    phase = answer.phase or phase_of(text)
    deferred = answer.deferred or code.startswith("4") or enhanced.startswith("4")
    to_sender = phase in SENDER_PHASES or any(one in text for one in _SENDER_TEXTS)
    if any(one in text for one in _OWN_WORDS) and is_own_refusal(answer.reply):
        return Verdict(BounceType.POLICY, EventClass.BLOCK, "another gate's refusal")
    for rule in rules.find(text, code, enhanced, phase, answer.host.lower()):
        if not (to_sender and rule.type in HARD):
            return _verdict(rule.type, deferred, f"rule {rule.name}: {rule.because}")
    by_code = type_of_code(enhanced)
    if by_code is not None and not (to_sender and by_code in HARD):
        return _verdict(by_code, deferred, f"enhanced code {enhanced}")
    if to_sender and not deferred:
        return _verdict(BounceType.POLICY, deferred, "refused the sender, before any recipient")
    return _verdict(BounceType.OTHER, deferred, f"code {code}" if code else "nothing is known of this reply")


@functools.lru_cache(maxsize=_REMEMBERED)
def codes_of(text: str) -> tuple[str, str]:
    """The (SMTP code, enhanced code) that a reply's text carries; "" for what it has not."""
    head = text[:MAX_TEXT]
    start = max((said.end() for said in _SAID.finditer(head)), default=0)
    match = _BOTH.search(head, start)
    if match is None:
        alone = _ENHANCED_ALONE.search(head, start)
        return "", alone[1] if alone else ""
    if match[2]:
        return match[1], match[2]
    same = (one[1] for one in _ENHANCED_ALONE.finditer(head, start) if one[1][0] == match[1][0])
    return match[1], next(same, "")


def is_own_refusal(text: str) -> bool:
    """Whether a reply is the refusal of a Sendgate gate (see `reply`), which never is feedback."""
    return _OWN.search(text[:MAX_TEXT]) is not None


def phase_of(text: str) -> Phase:
    """The phase that Postfix names in a text: `(in reply to RCPT TO command)`."""
    lower = text.lower()
    match = _COMMAND.search(lower) if "in reply to" in lower else None
    return _COMMANDS[match[1]] if match else Phase.UNKNOWN


def fold(text: str) -> str:
    """A reply as rules see it: without case, accents, addresses, line prefixes; each white space one space."""
    text = strip_accents(_SPACE.sub(" ", text[:MAX_TEXT]))
    if "@" in text:
        text = _ADDRESS.sub("@", text)
    return _one_line(text).replace(_IRONPORT, "")


def _one_line(text: str) -> str:
    """The lines of a reply as one, without the codes that each begins with (`550-5.1.1 no such 550 5.1.1 user`)."""
    first = _PREFIX.search(text)
    if first is None:
        return text
    head, rest = text[: first.end()], text[first.end() :]
    last = re.compile(rf" {first[1]} (?:{_ENHANCED} ?)?")
    return _PREFIX.sub("", head) + last.sub(" ", _PREFIX.sub("", rest))


def _codes(answer: Answer) -> tuple[str, str]:
    """The codes given, else those in the text; of two enhanced codes of one kind, that which says more."""
    code, enhanced = answer.smtp_code, answer.enhanced
    if code and enhanced and not enhanced.endswith(".0"):
        return code, enhanced
    told, more = codes_of(answer.reply)
    if enhanced and not (more.startswith(enhanced[:1]) and not more.endswith(".0")):
        more = enhanced
    return code or told, more


def _verdict(kind: BounceType, deferred: bool, because: str) -> Verdict:
    if kind in HARD:
        return Verdict(kind, EventClass.SOFT if deferred else EventClass.HARD, because)
    if kind in BLOCK:
        return Verdict(kind, EventClass.BLOCK, because)
    if kind is BounceType.OTHER and not deferred:
        return Verdict(kind, EventClass.OTHER, because)
    return Verdict(kind, EventClass.SOFT, because)
