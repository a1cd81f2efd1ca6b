"""Complaints: reports in the Abuse Reporting Format (RFC 5965), and Microsoft's, which have none of its fields.

In: a message, and what is needed to judge it (`Reading`). Out: an event for each recipient; one without a recipient
when the report hides it, so that it is counted. None: the message is no such report.
Refused: nothing. A placeholder, our own sender and those the report went to are never a recipient (see `complainant`).

    abuse, opt-out      a complaint. An opt-out is the same wish in other words: no more of this.
    all other types     class none: failed authentication, fraud, a virus, "not spam", what is yet to be invented
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sendgate.campaign import CampaignResolver
from sendgate.feedback.event import Event, EventClass, Source
from sendgate.feedback.mail.addresses import find_addresses
from sendgate.feedback.mail.complainant import Found, Stated, find_recipients
from sendgate.feedback.mail.headers import EMPTY, Headers, read_headers, sent_at
from sendgate.feedback.mail.mime import Message, Part
from sendgate.feedback.mail.original import addresses_of
from sendgate.feedback.trust import signatures_in
from sendgate.feedback.verp import Expired, Forged, Verified, VerpChecker

REPORT = "message/feedback-report"
COMPLAINTS = frozenset({"abuse", "opt-out", "opt-out-list", "opt_out"})
MOST_FIELDS_OCTETS = 64_000

_FIELDS_FIRST = re.compile(r"\s{0,99}(?:[A-Za-z-]{1,40}:[^\n]{0,998}\n){0,9}Feedback-Type[ \t]{0,9}:", re.IGNORECASE)
_EMPTY_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_ALSO = re.compile(r"^(?:User-Agent|Version)[ \t]{0,9}:", re.IGNORECASE | re.MULTILINE)
_JMRP_SUBJECT = re.compile(r"\s*complaint about message from\b", re.IGNORECASE)
_JMRP_HEADER = "x-hmxmroriginalrecipient"
_MICROSOFT = re.compile(r"@(?:[a-z0-9-]{1,63}\.){0,3}(?:hotmail|outlook|live|msn|microsoft)\.com\b", re.IGNORECASE)
_ENVELOPE_FROM = re.compile(r"envelope-from[ =]{1,3}\"?<?([^\s<>;\"]{1,320}@[^\s<>;\")]{1,255})", re.IGNORECASE)
_SENDERS = ("return-path", "x-original-return-path", "x-envelope-from", "x-original-mail-from", "x-mail-from")
_NUMBERED = re.compile(r"[a-z]{3}")
_FEEDBACK_ID = re.compile(r"([^:\s]{1,128}):[^:]{0,128}:[^:]{0,128}:[^:]{1,128}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a report is read with. verp: checks signatures of ours; campaign_header: the field that names a campaign."""

    resolver: CampaignResolver
    now: float
    verp: VerpChecker | None = None
    campaign_header: str = ""


def read_arf(message: Message, reading: Reading) -> list[Event] | None:
    """The events of a report, or None when the message is none."""
    if message.of_type("message/delivery-status", "message/global-delivery-status"):
        return None
    report = _report_in(message)
    if report is not None:
        # as octets, which is how fields are read
        text = report.text[:MOST_FIELDS_OCTETS].lstrip().encode(errors="replace").decode("latin-1")
        fields = read_headers(_EMPTY_LINES.sub("\n", text) if report.type == REPORT else text)[0]
        return _events(message, fields, _original_after(message, report), reading)
    original = _original_after(message, None)
    if _is_microsofts(message, original):
        return _events(message, Headers([("feedback-type", "abuse"), ("user-agent", "JMRP")]), original, reading)
    return [] if "feedback-report" in message.parameters.get("report-type", "").lower() else None


def _report_in(message: Message) -> Part | None:
    """The part with the fields. It may be of another type, in a multipart, when it begins with them."""
    reports = sorted(message.of_type(REPORT), key=lambda part: part.depth)
    if reports:
        return reports[0]
    if not message.type.startswith("multipart/"):
        return None
    texts = (part for part in message.parts if part.type.startswith("text/") and not part.embedded)
    return next((part for part in texts if _FIELDS_FIRST.match(part.text) and _ALSO.search(part.text[:4000])), None)


def _original_after(message: Message, report: Part | None) -> Headers:
    """The header of the message that the report is about."""
    depth = report.depth if report is not None else 0
    after = message.parts[message.parts.index(report) + 1 :] if report is not None else message.parts
    for part in (*after, *message.parts):
        if part.inner is not None and part.inner.items and part.depth >= depth:
            return part.inner
    return EMPTY


def _is_microsofts(message: Message, original: Headers) -> bool:
    """Whether it is a report of the Junk Mail Reporting Program: the message itself, attached."""
    if not original.items or not message.type.startswith("multipart/"):
        return False
    from_microsoft = bool(_MICROSOFT.search(message.headers.get("from")[:1000]))
    named = bool(_JMRP_SUBJECT.match(message.headers.decoded("subject")))
    return (from_microsoft and (named or _JMRP_HEADER in original)) or (named and _JMRP_HEADER in original)


def _events(message: Message, fields: Headers, original: Headers, reading: Reading) -> list[Event]:
    kind = _word(fields.get("feedback-type") or ("abuse" if _word(fields.get("abuse-type")) == "complaint" else ""))
    is_complaint = kind in COMPLAINTS
    stated = Stated(message.headers, fields, original)
    signed = _signed(stated, reading)
    recipients = find_recipients(stated, [one.recipient for one in signed], is_complaint)
    campaign, campaign_from = _campaign(fields, original, signed, reading)
    sent_to = next(iter(_senders(fields, original)), ("", ""))[1]
    derived = (f"campaign from {campaign_from}",) if campaign_from else ()
    if not recipients and not is_complaint:
        return []
    return [
        Event(
            one.recipient,
            EventClass.COMPLAINT if is_complaint else EventClass.NONE,
            text=_text(kind, fields),
            campaign=campaign,
            host=_host(message, fields),
            at=sent_at(message.headers, reading.now),
            source=Source.COMPLAINT,
            final=is_complaint,
            sent_to=sent_to[:320],
            derived=((f"recipient from {one.place}",) if one.place else ()) + derived,
        )
        for one in recipients or [Found("", "nowhere")]
    ]


def _signed(stated: Stated, reading: Reading) -> list[Verified | Expired]:
    """What senders of ours in the report prove."""
    if reading.verp is None:
        return []
    texts = [value for _, value in (*stated.fields, *stated.original)]
    found = signatures_in(texts, reading.verp, tuple(stated.candidates()), reading.now)
    return [one for one in found if not isinstance(one, Forged)]


def _campaign(
    fields: Headers, original: Headers, signed: list[Verified | Expired], reading: Reading
) -> tuple[str, str]:
    """The campaign, and where it was found when the report does not simply say it."""
    for place, sender in _senders(fields, original):
        resolved = reading.resolver.resolve("", sender, "")
        if resolved.by_envelope:
            return resolved.campaign.name, "" if place == "original-mail-from" else place
    for one in signed:
        return reading.resolver.named(one.campaign).name, "signed sender"
    for place, value in _campaign_headers(original, reading.campaign_header):
        campaign = reading.resolver.refine(value)
        if campaign is not None:
            return campaign.name, place
    envid = fields.get("original-envelope-id")[:256]
    resolved = reading.resolver.resolve(envid, "", "")
    # some reporters write the id of their own queue there
    if resolved.by_envelope and (resolved.campaign.name != envid or _NUMBERED.search(envid)):
        return resolved.campaign.name, "original-envelope-id"
    return reading.resolver.resolve("", "", "").campaign.name, ""


def _senders(fields: Headers, original: Headers) -> Iterator[tuple[str, str]]:
    """What the envelope sender of our message may have been, and where it stands."""
    for one in find_addresses(fields.get("original-mail-from"))[:1]:
        yield "original-mail-from", one.text  # as it is written: a campaign may have capitals
    for name in _SENDERS:
        for one in find_addresses(original.get(name))[:1]:
            yield name, one.text
    for name, value in original:
        if name in ("received", "received-spf"):
            found = _ENVELOPE_FROM.search(value)
            if found is not None:
                yield name, found[1]


def _campaign_headers(original: Headers, header: str) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys((header.lower(), "x-campaign-id", "x-campaignid")):
        if name and original.get(name):
            yield name, original.get(name)
    for name in ("feedback-id", "cfbl-feedback-id"):
        named = _FEEDBACK_ID.fullmatch(original.get(name).strip())
        if named is not None:
            yield name, named[1]


def _text(kind: str, fields: Headers) -> str:
    """The report in a line: its type, and the program that wrote it. No address is in it."""
    agent = re.sub(r"[^\w ./!+-]", "", fields.get("user-agent"), flags=re.ASCII)[:100]
    return f"{kind or 'report without a type'}{f' ({agent})' if agent else ''}"


def _host(message: Message, fields: Headers) -> str:
    """Who reported: the server that says so, else the domain of the report's sender."""
    server = fields.get("reporting-mta").rpartition(";")[2].strip()
    if server:
        return server[:255]
    senders = addresses_of(message.headers, ("from",))
    return senders[0].rpartition("@")[2] if senders else ""


def _word(value: str) -> str:
    words = re.split(r"[\s;,(]", value.strip().lower()[:60])
    return words[0].strip("\"'<>")
