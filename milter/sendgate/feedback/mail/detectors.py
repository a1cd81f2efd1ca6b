"""Find the failed recipients in a report that is no RFC 3464 one: general mechanisms, the surest first.

In: a `Report`, known to be one of a failed delivery. Out: `Mention`s of the first detector that finds any.
Nothing is refused. The order: what a program wrote for programs (status fields, header, JSON); what stands where mail
systems put recipients (lists of addresses, the SMTP dialogue, labels); sentences; what we sent the message to.
"""

from __future__ import annotations

import re
from typing import Protocol

from sendgate.feedback.mail.addresses import Found, find_addresses, first_address, spelling
from sendgate.feedback.mail.blocks import FORWARDED, Line, Lines
from sendgate.feedback.mail.dsn import read_status
from sendgate.feedback.mail.mention import Mention
from sendgate.feedback.mail.notice import read_notice
from sendgate.feedback.mail.phrases import FAILURE, fold
from sendgate.feedback.mail.report import Report

MOST_RECIPIENTS = 1000

_STATUS_FIELD = re.compile(
    r"^[> \t]{0,12}(?:Final-Recipient|Original-Recipient)[ \t]{0,4}:", re.MULTILINE | re.IGNORECASE
)
_STATUS_FIELDS = re.compile(
    r"^[> \t]{0,12}(?=(?:Reporting-MTA|Final-Recipient|Original-Recipient|Action|Status|Diagnostic-Code)[ \t]{0,4}:)",
    re.MULTILINE | re.IGNORECASE,
)
_INDENT = re.compile(r"^[> \t]{1,12}(?=[A-Z][A-Za-z-]{2,30}:)", re.MULTILINE)
_DIALOGUE = re.compile(r"\bRCPT TO:? ?\s*<?([^\s<>]{1,320}@[^\s<>]{1,255})>?", re.IGNORECASE)
_REFUSAL = re.compile(
    r".{0,60}(?:received|response|respon(?:d|s)ed|replied|said|[<>:-])\W{1,10}[45]\d\d\b|\W{0,10}[45]\d\d\b",
    re.IGNORECASE,
)
_VERP = re.compile(r"(?:\+|-return-\d{1,9}-)([^+=@\s]{1,64})=([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8})@")
_HELPER = re.compile(
    r"(?:post|host|web)master@|(?:help|support|service|info|admin|abuse|noc|security|contact|it|kundenservice|sac)[-._\w]{0,20}@",
    re.IGNORECASE,
)
_MORE = re.compile(r"^[^<(\[,;@]{0,40}\w")
"""What follows the address in a line that is a sentence."""
_LABEL = re.compile(
    r"(?:^|[\s(\[*\"'.,:;-])(?:smtp|rfc-?822|"
    r"(?:failed |original(?:ly)? |final |intended |bad |invalid |affected |delivery |the )?"
    r"(?:recipient|addressee|address|user|mailbox|rcpt(?: to)?|account|destination)s?(?:\(s\))?"
    r"(?: e-?mail)?(?: address(?:\(?es\)?)?| id| name)?|addressed to|delivered to|failed to deliver to"
    r"|destinataires?|empf[äa]nger(?:adresse)?|destinat[áa]rio\w{0,5}|adres(?:se|at)|indirizzo|ontvanger|mottagare"
    r"|odbiorc\w{1,2}|p[řr][íi]jemce|alıcı|получател\w{1,3}|адрес\w{0,4}"
    r"|收件人|收件者|宛先|受信者|送信先|あて先|받는 ?사람"
    r")(?: (?:is|was|to which .{1,80}))?\s*[:=\uff1a]\s*[<\[('\"]{0,2}(?:(?:rfc822|smtp|mailto)[;:]\s*)?<?$",
    re.IGNORECASE,
)


class Detector(Protocol):
    """One way to find failed recipients."""

    name: str

    def find(self, lines: Lines) -> list[Mention]:
        """The failed recipients that this way finds in a report."""


class FailedRecipientsHeader:
    """X-Failed-Recipients, as exim and Google write it: made for programs, and complete."""

    name = "failed-recipients"

    def find(self, lines: Lines) -> list[Mention]:
        values = lines.report.headers.all("x-failed-recipients")
        return [Mention(found.text, how=self.name) for value in values for found in find_addresses(value)]


class PastedStatus:
    """The fields of RFC 3464 in the text of a message that has no such part."""

    name = "pasted-status"

    def find(self, lines: Lines) -> list[Mention]:
        text = lines.report.text
        if not _STATUS_FIELD.search(text):
            return []
        first = _STATUS_FIELDS.search(text)
        fields = _INDENT.sub("", text[first.start() if first else 0 :])
        return [
            Mention(one.recipient, one.reason, one.original, one.status, one.code, one.action, one.host, how=self.name)
            for one in read_status(fields)
            if "@" in one.recipient
        ]


class Notice:
    """A notification in JSON, as Amazon SES sends by way of SNS."""

    name = "notice"

    def find(self, lines: Lines) -> list[Mention]:
        return read_notice(lines.report.text, self.name)


class Dialogue:
    """A quoted SMTP dialogue in which RCPT TO was answered with an error."""

    name = "dialogue"

    def find(self, lines: Lines) -> list[Mention]:
        mentions = []
        for line in lines.all:
            found = _DIALOGUE.search(line.text)
            if found is None or lines.report.is_own(spelling(found[1])):
                continue
            words = [line.text[found.end() :]]
            words += [below.text for below in lines.all[line.number + 1 : line.number + 4] if below.text.strip()]
            answer = " ".join(word.strip(" <>\t:") for word in words)
            if re.match(
                r"(?:received\W+|response\W+|.{0,40}response:\s*|.{0,20}said\W+)?\W*[45]\d\d\b",
                answer.strip(),
                re.IGNORECASE,
            ):
                mentions.append(Mention(found[1], answer.strip(), how=self.name))
        return mentions


class AddressLines:
    """Lines that begin with an address: `<user@example.com>: reason`, or a list below an introduction."""

    name = "address-lines"

    def find(self, lines: Lines) -> list[Mention]:
        return [
            mention
            for line in lines.with_addresses
            if line.leading is not None and lines.is_announced(line)
            for mention in _led(lines, line, line.leading, self.name)
        ]


class BareLines:
    """Lines of addresses alone, and nothing says why: a list of failures, or a signature."""

    name = "bare-lines"

    def find(self, lines: Lines) -> list[Mention]:
        return [
            mention
            for line in lines.with_addresses
            if line.leading is not None and not _MORE.search(line.after(line.leading))
            for mention in _led(lines, line, line.leading, self.name)
        ]


class Labelled:
    """`Recipient: user@example.com`, in many languages."""

    name = "labelled"

    def find(self, lines: Lines) -> list[Mention]:
        mentions = []
        for line in lines.with_addresses:
            for found in line.found:
                before = line.text[max(0, found.start - 120) : found.start]
                if _LABEL.search(before) or FORWARDED.search(before) or _is_cell(line, found):
                    reason = lines.reason_after(line, found)
                    mentions += [Mention(one.text, reason, how=self.name) for one in lines.listed_with(line, found)]
        return _returned_if_any(mentions, lines)


class Sentences:
    """An address in a sentence that tells of a failure."""

    name = "sentence"

    def find(self, lines: Lines) -> list[Mention]:
        return _returned_if_any(
            [
                Mention(one.text, " ".join(lines.reasons_about({spelling(one.text)})), how=self.name)
                for line in lines.with_addresses
                for found in line.found
                if FAILURE.are_in(fold(lines.sentence_with(line, found)))
                for one in lines.listed_with(line, found)
            ],
            lines,
        )


class Returned:
    """An address in the report that is one of those which the returned message went to."""

    name = "returned"

    def find(self, lines: Lines) -> list[Mention]:
        recipients = lines.report.original.recipients
        return [
            Mention(found.text, " ".join(lines.reasons_about({spelling(found.text)})), how=self.name)
            for line in lines.with_addresses
            for found in line.found
            if spelling(found.text) in recipients
        ]


class SubjectLine:
    """The recipient is in the subject: `Undeliverable: user@example.com`."""

    name = "subject"

    def find(self, lines: Lines) -> list[Mention]:
        subject = lines.report.headers.decoded("subject")
        return [
            Mention(found.text, subject, how=self.name)
            for found in find_addresses(subject)
            if FAILURE.are_in(fold(subject)) and not lines.report.is_own(spelling(found.text))
        ]


class OnlyRecipient:
    """The report names nobody, and the returned message went to exactly one."""

    name = "returned-to"

    def find(self, lines: Lines) -> list[Mention]:
        original = lines.report.original
        named = original.to if len(original.to) == 1 else tuple(original.recipients)
        return [Mention(named[0], how=self.name, guessed_from="the returned message")] if len(named) == 1 else []


class CameBackTo:
    """The report names nobody, and came back to a sender that carries its recipient (VERP), signed or not."""

    name = "came-back-to"

    def find(self, lines: Lines) -> list[Mention]:
        senders = (lines.report.headers.get(name) for name in ("delivered-to", "x-original-to", "to"))
        carried = (_VERP.search(first_address(sender)) for sender in senders)
        found = next((one for one in carried if one), None)
        if found is None:
            return []
        return [Mention(f"{found[1]}@{found[2]}", how=self.name, guessed_from="the sender that it came back to")]


DETECTORS: tuple[Detector, ...] = (
    PastedStatus(),
    FailedRecipientsHeader(),
    Notice(),
    AddressLines(),
    Dialogue(),
    Labelled(),
    Sentences(),
    Returned(),
    SubjectLine(),
    BareLines(),
)
GUESSES: tuple[Detector, ...] = (OnlyRecipient(), CameBackTo())


def failed_recipients(report: Report, lines: Lines, detectors: tuple[Detector, ...] = DETECTORS) -> list[Mention]:
    """The failed recipients of a report, by the first detector that finds any."""
    for detector in detectors:
        mentions = [one for one in detector.find(lines) if not report.is_own(spelling(one.recipient))]
        if mentions:
            return _without_helpers(mentions, report)[:MOST_RECIPIENTS]
    return []


def _led(lines: Lines, line: Line, leading: Found, name: str) -> list[Mention]:
    reason = lines.reason_after(line, leading) or lines.heading_of(line)
    listed = lines.listed_with(line, leading)
    before = lines.forwarded_from(line, leading) if len(listed) == 1 else ""
    return [Mention(found.text, reason, original=before, how=name) for found in listed]


def _is_cell(line: Line, found: Found) -> bool:
    """Whether a line is a row of a table: a label, spaces, the address."""
    label = line.text[: found.start]
    return label[-1:].isspace() and not line.after(found).strip() and bool(_LABEL.match(f"{label.strip()}: "))


def _without_helpers(mentions: list[Mention], report: Report) -> list[Mention]:
    """Without the reporter's own support, unless it is all that is named."""
    reporter = spelling(first_address(report.headers.get("from"))).rpartition("@")[2]
    others = [
        one
        for one in mentions
        if not (_HELPER.match(one.recipient) and spelling(one.recipient).rpartition("@")[2] == reporter)
        or spelling(one.recipient) in report.original.recipients
    ]
    return others or mentions


def _returned_if_any(mentions: list[Mention], lines: Lines) -> list[Mention]:
    """Those to whom the returned message went, if there are any: words may speak of others, too."""
    returned = [one for one in mentions if spelling(one.recipient) in lines.report.original.recipients]
    return returned or mentions
