"""A line of Postfix's log that says: a milter cannot be reached, or does not speak as it should.

In: one line. Out: the milter's address as Postfix names it, None for all other lines.
Refused: nothing. What a milter decides (`milter-reject`, `milter-hold`) is no failure.

Each failure counts once: Postfix writes a second line after some of them ("read error in initial handshake" after what
was wrong with the reply, "unrecognized default action"), and some of its warnings stop nothing.
"""

from __future__ import annotations

import re

UNNAMED = ""
"""The milter of the only failure that Postfix tells without a name."""
_WARNING = "]: warning: "
_TAG = re.compile(r"[^\s\[]{0,64}?postfix[^\s\[]{0,128}/(?:smtpd|cleanup|qmqpd)\[\d{1,10}")
_NOT_COUNTED = (
    "read error in initial handshake|write error in initial handshake|unrecognized default action"
    "|ignoring unknown macro type|bad client port number|unexpected protocol version"
)
_FAILURE = re.compile(
    r"connect to Milter service (\S{1,255}): "
    rf"|(?:milter8_\w+: )?milter (\S{{1,255}}): (?!{_NOT_COUNTED})"
    r"|invalid transport name: \S* in Milter service: (\S{1,255})"
    r'|Milter service needs transport:endpoint instead of "([^"\s]{0,255})"'
    r"|milter8_read_data: left-over data"
)


def failed_milter(line: str) -> str | None:
    """Which milter failed by this line."""
    end = line.find("]: ")  # the program's own: what follows may quote others, who write what they like
    if not line.startswith(_WARNING, end) or end < 0:
        return None
    found = _FAILURE.match(line, end + len(_WARNING))
    if found is None or not _TAG.fullmatch(line, line.rfind(" ", 0, end) + 1, end):
        return None
    return next((name for name in found.groups() if name), UNNAMED)
