"""From a decision to the SMTP reply. All SMTP wording of the gate is here.

In: a decision that is no plain pass, and the recipient as the client wrote it.
Out: a `Reply`: basic code, enhanced code (RFC 3463), text in printable ASCII.
Nothing is refused; what cannot be shown in a reply is shown as "?".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sendgate.decision import Cause, Decision, Verdict

MAX_SHOWN = 256
"""Octets of a recipient that a reply shows; the whole line stays below the 512 of RFC 5321, 4.5.3.1.5."""

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


class Reply(NamedTuple):
    """An SMTP reply: `550`, `5.7.1`, and its text without either."""

    code: str
    enhanced: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"


def reply_to(decision: Decision, recipient: str) -> Reply | None:
    """The reply for a decision at RCPT, or None when the recipient is accepted there.

    HOLD and DISCARD are accepted at RCPT: they act at end of message.
    """
    shown = f"<{_printable(recipient)}>"
    match decision:
        case Decision(Verdict.REJECT | Verdict.TEMPFAIL, Cause.ENTRY, entry) if entry is not None:
            text = f"{shown}: recipient suppressed: {entry.reason} (ref {entry.ref})"
            return Reply("550", "5.7.1", text) if decision.verdict is Verdict.REJECT else Reply("451", "4.7.1", text)
        case Decision(cause=Cause.STORE_UNAVAILABLE):
            return Reply("451", "4.3.0", f"{shown}: suppression list not available, try again later")
        case Decision(cause=Cause.REPLICA_STALE):
            return Reply("451", "4.3.0", f"{shown}: suppression list out of date, try again later")
        case Decision(cause=Cause.OTHER_FATE):
            return Reply("452", "4.5.3", f"{shown}: send this recipient in another message")
        case Decision(cause=Cause.BAD_ADDRESS):
            return Reply("553", "5.1.3", f"{shown}: recipient address not understood")
        case _:
            return None


def hold_reason(decision: Decision) -> str:
    """What Postfix logs and shows for a message that the gate puts on hold."""
    entry = decision.entry
    return f"sendgate: {entry.reason} (ref {entry.ref})" if entry else "sendgate"


def _printable(recipient: str) -> str:
    inner = recipient.strip().removeprefix("<").removesuffix(">")
    return _UNPRINTABLE.sub("?", inner)[:MAX_SHOWN]
