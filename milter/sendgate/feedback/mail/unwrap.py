"""Take the report of one system out of that of another: embedded in it, or pasted raw into its text.

In: a message that is a report, and names nobody itself. Out: the report within as a message of its own, or None.
Nothing is refused.
"""

from __future__ import annotations

from dataclasses import replace

from sendgate.feedback.mail.mime import EMBEDDED_TYPES, Message, Part, read_pasted
from sendgate.feedback.mail.report import Report


def unwrapped(message: Message, report: Report) -> Message | None:
    """The first message that this one carries, if that has parts; else what is pasted into its text, likewise."""
    parts = message.parts
    for number, part in enumerate(parts):
        if part.type in EMBEDDED_TYPES and part.inner is not None:
            below = parts[number + 1 :]
            end = next((at for at, one in enumerate(below) if one.depth <= part.depth), len(below))
            if end:
                return Message(part.inner, tuple(_raised(below[:end])))
    if len(parts) > 1:
        return None
    text = parts[0].text
    pasted = read_pasted(text[len(report.text) :].lstrip("\n") if len(report.text) < len(text) else text)
    return pasted if len(pasted.parts) > 1 else None


def _raised(parts: tuple[Part, ...]) -> list[Part]:
    """The same parts, embedded only if they are in yet another message."""
    raised: list[Part] = []
    within: int | None = None
    for part in parts:
        if within is not None and part.depth <= within:
            within = None
        own = part.inner is not None
        raised.append(replace(part, embedded=own or within is not None))
        if own and within is None:
            within = part.depth
    return raised
