"""What a report says about one recipient, before it is judged.

In: nothing. Out: the type that all detectors make. Nothing is refused.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mention:
    """One recipient of whom a report speaks.

    recipient: the address as it is written; original: the address before forwarding, when the report tells it;
    reason: the words about this recipient; status: enhanced code (RFC 3463) that stands in a field of its own;
    action: failed, delayed, delivered, relayed or expanded (RFC 3464), complaint, or "": the report is free text;
    envelope_id, queue_id: as the reporting system gives them; how: the detector that found it, "" for an RFC 3464 one;
    guessed_from: where it was found, when the report itself names nobody.
    """

    recipient: str
    reason: str = ""
    original: str = ""
    status: str = ""
    code: str = ""
    action: str = ""
    host: str = ""
    envelope_id: str = ""
    queue_id: str = ""
    how: str = ""
    guessed_from: str = ""
