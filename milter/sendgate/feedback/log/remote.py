"""Another server's answer, as Postfix quotes it in a log line (and in its bounces).

In: the text in parentheses. Out: a `Remote`, or None when Postfix speaks for itself.
Nothing is refused. The answer is the server's own words, and may quote further answers: only the outermost is read.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_REMOTE = re.compile(
    r"(delivery temporarily suspended: )?host ([^\s\[]++)\[([^\]\s]*+)\](?::\d{1,5})?"
    r" (said|refused to talk to me): (.*)",
    re.DOTALL,
)
_REPLY = re.compile(r"(\d{3})(?:[ -](\d\.\d{1,3}\.\d{1,3})(?!\d))?")
_IN_REPLY_TO = " (in reply to "
_COMMAND = " command)"


class Remote(NamedTuple):
    """A server's answer as Postfix quotes it: refused when it would not talk at all (an answer to the connection),
    suspended when it was given to an earlier message. phase: the command it answers, "" when Postfix tells none."""

    host: str
    ip: str
    reply: str
    smtp_code: str
    enhanced: str
    phase: str
    refused: bool
    suspended: bool

    def as_object(self) -> dict[str, object]:
        shown: dict[str, object] = {"remote_host": self.host, "remote_ip": self.ip, "reply": self.reply}
        named = {"smtp_code": self.smtp_code, "enhanced": self.enhanced, "phase": self.phase}
        shown |= {name: value for name, value in named.items() if value}
        return shown | {"refused": self.refused, "suspended": self.suspended}


def read_remote(text: str) -> Remote | None:
    """The other server's answer in the text of a delivery."""
    found = _REMOTE.match(text)
    if found is None:
        return None
    suspended, host, ip, manner, reply = found.groups()
    phase = ""
    if manner == "said" and reply.endswith(_COMMAND):
        # the last one is Postfix's own: the server may have written another into its answer
        before, mark, command = reply.rpartition(_IN_REPLY_TO)
        if mark:
            reply, phase = before, command.removesuffix(_COMMAND)
    codes = _REPLY.match(reply)
    code, enhanced = (codes[1], codes[2] or "") if codes else ("", "")
    return Remote(host, ip, reply, code, enhanced, phase, manner != "said", suspended is not None)
