"""Read delivery status reports (RFC 3464, RFC 6533), as parts of a message or pasted into its text.

In: the text of a message/delivery-status part. Out: a `Mention` for each recipient of whom it tells.
Nothing is refused: missing empty lines, missing fields, fields in the wrong group and unknown types are all met.
"""

from __future__ import annotations

import re

from sendgate.feedback.mail.addresses import find_addresses
from sendgate.feedback.mail.headers import Headers, decode_words, read_headers
from sendgate.feedback.mail.mention import Mention

MOST_RECIPIENTS = 1000

_RECIPIENT_FIELDS = ("final-recipient", "original-recipient")
_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_TYPED = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9_.+-]{0,40})\s*;\s*")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNITEXT = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_BLANK = re.compile(r"\n[ \t]*\n")
_ACTIONS = {"failed": "failed", "failure": "failed", "delayed": "delayed", "delivered": "delivered"}
_ACTIONS |= {"deliverable": "delivered", "undeliverable": "failed"}  # of address probes
_ACTIONS |= {"relayed": "relayed", "expanded": "expanded", "delay": "delayed", "transient-failure": "delayed"}
_WORDS = ("x-supplementary-info", "x400-supplementary-info", "x-error", "x-reason", "x-smtp-reply", "x-notes")


class Group:
    """The fields of one recipient, or those of the whole message."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []

    def get(self, name: str) -> str:
        """The value of the first field of this name, or ""."""
        return next((value for one, value in self.fields if one == name), "")

    def has_recipient(self) -> bool:
        """Whether it is about a recipient."""
        return any(name in _RECIPIENT_FIELDS for name, _ in self.fields)


def read_status(text: str) -> list[Mention]:
    """All recipients of a delivery status report."""
    message, recipients = _groups(text)
    return [mention for group in recipients if (mention := _mention(group, message)) is not None]


def recipient_of(value: str) -> str:
    """The address in a recipient field (`rfc822; user@example.com`), as it is written; "" when it holds none."""
    kind, rest = _typed(value)
    if kind in ("x400", "x-x400", "system", "unknown"):
        return ""
    if "\\x{" in rest:
        rest = _UNITEXT.sub(_character, rest)
    if "@" not in rest and "+40" in rest:
        rest = _XTEXT.sub(lambda match: chr(int(match[1], 16)), rest)
    found = find_addresses(rest[:2000])
    if found:
        return found[0].text
    bare = rest.strip().removeprefix("<").partition(">")[0].strip()
    return bare if 0 < len(bare) <= 320 else ""


def diagnostic_of(value: str) -> str:
    """The words of a Diagnostic-Code, without its type."""
    return decode_words(_typed(value)[1].strip())


def _groups(text: str) -> tuple[Group, list[Group]]:
    """The fields of the whole message, and those of each recipient."""
    message, recipients = Group(), list[Group]()
    current = message
    for block in _BLANK.split(text.strip("\n") + "\n"):
        headers = read_headers(block.lstrip("\n"))[0]
        if not headers.items:
            continue
        names = {name for name, _ in headers.items}
        if names & set(_RECIPIENT_FIELDS) and (current is message or current.has_recipient()):
            current = _new_group(recipients)
            if "reporting-mta" in names:
                _share(headers, message)
        for name, value in headers.items:
            if name == "final-recipient" and current.get(name):
                current = _new_group(recipients)
            current.fields.append((name, value))
        if len(recipients) >= MOST_RECIPIENTS:
            break
    return message, recipients


def _new_group(recipients: list[Group]) -> Group:
    recipients.append(Group())
    return recipients[-1]


def _share(headers: Headers, message: Group) -> None:
    """Keep the fields of the whole message that stand in the group of a recipient."""
    message.fields += [(name, value) for name, value in headers.items if name not in _RECIPIENT_FIELDS]


def _mention(group: Group, message: Group) -> Mention | None:
    final = recipient_of(group.get("final-recipient"))
    original = recipient_of(group.get("original-recipient"))
    if not final and not original:
        original = recipient_of(group.get("x-actual-recipient"))
    if not final and not original:
        return None
    status = _STATUS.search(group.get("status"))
    action = _ACTIONS.get(group.get("action").split("(")[0].strip().split(" ")[0].lower(), "")
    return Mention(
        recipient=final or original,
        original=original if final else "",
        reason=_reason(group),
        status=status[1] if status else "",
        action=action or "failed",
        host=_typed(group.get("remote-mta"))[1].strip(),
        envelope_id=message.get("original-envelope-id"),
        queue_id=message.get("x-postfix-queue-id"),
    )


def _reason(group: Group) -> str:
    words = [diagnostic_of(value) for name, value in group.fields if name == "diagnostic-code"]
    words += [value for name, value in group.fields if name in _WORDS]
    comment = group.get("status").partition("(")[2].rpartition(")")[0]
    if comment and not any(words):
        words.append(comment)
    return " ".join(word for word in words if word)


def _typed(value: str) -> tuple[str, str]:
    """A field's type (in lower case, "" when there is none) and the rest."""
    typed = _TYPED.match(value)
    return (typed[1].lower(), value[typed.end() :]) if typed else ("", value)


def _character(match: re.Match[str]) -> str:
    try:
        return chr(int(match[1], 16))
    except (ValueError, OverflowError):
        return "?"
