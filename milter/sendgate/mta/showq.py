"""What Postfix's showq(8) says about its queue: from octets to messages.

In: the octets of one answer, in pieces of any size. Out: `Message`s, in the order Postfix tells them.
Refused: `ShowqError` for what is no such answer, and for one that breaks off before its end.

The answer is a list of records; a record is pairs of name and value, each ended by a NUL, and one more NUL at its end:

    protocol NUL mail_queue_list_protocol NUL NUL
    queue_name NUL deferred NUL queue_id NUL 4jXV... NUL time NUL 1795353476 NUL size NUL 280 NUL ...
        recipient NUL anna@example.com NUL reason NUL ... NUL recipient NUL ... NUL NUL
    NUL

Values may be empty, and hold any other octet. Recipients and reasons, most of the answer, are passed over by a pattern
and never kept: memory stays the same however long the queue is, and however many recipients a message has.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MOST_KEPT = 1 << 16
"""Octets that a pair, or what a message begins with, may have; Postfix's own lines end at 2048."""
_PROTOCOL = b"protocol\0mail_queue_list_protocol\0\0"
_HEAD = re.compile(
    rb"queue_name\0([^\0]++)\0"
    rb"(?:(?!time\0|size\0|recipient\0)[^\0]++\0[^\0]*+\0)*+"
    rb"time\0(\d{1,18}+)\0"
    rb"(?:(?!size\0|recipient\0)[^\0]++\0[^\0]*+\0)*+"
    rb"size\0(\d{1,18}+)\0"
)
_PAIRS = re.compile(rb"(?:[^\0]++\0[^\0]*+\0)*+")
_NUL = 0


class ShowqError(ValueError):
    """This is not what showq answers."""


class Message(NamedTuple):
    """A message in the queue. arrived: Unix time in seconds; size: in octets."""

    queue: str
    arrived: int
    size: int


class QueueParser:
    """Reads one answer: `feed` it, then `close` it."""

    def __init__(self) -> None:
        self._left = b""
        self._is_begun = self._is_inside = self._is_ended = False

    def feed(self, octets: bytes) -> list[Message]:
        """The messages that begin in these octets, together with what was left of those before. Raises ShowqError."""
        buffer, at = self._left + octets, 0
        if not self._is_begun:
            at = self._begin(buffer)
        messages: list[Message] = []
        if self._is_begun:
            at = self._read(buffer, at, messages)
        self._left = buffer[at:]
        if self._is_ended and self._left:
            raise ShowqError("more after the end of the queue")
        if len(self._left) > MOST_KEPT:
            raise ShowqError("not a list of messages")
        return messages

    def close(self) -> None:
        """The answer is over. Raises ShowqError when it should not be yet."""
        if not self._is_ended:
            raise ShowqError("it broke off before its end")

    def _begin(self, buffer: bytes) -> int:
        if not _PROTOCOL.startswith(buffer[: len(_PROTOCOL)]):
            raise ShowqError("not the protocol of Postfix's showq")
        self._is_begun = len(buffer) >= len(_PROTOCOL)
        return len(_PROTOCOL) if self._is_begun else 0

    def _read(self, buffer: bytes, at: int, messages: list[Message]) -> int:
        """Read as far as it goes; returns where it stopped."""
        end = len(buffer)
        while at < end and not self._is_ended:
            if self._is_inside:
                pairs = _PAIRS.match(buffer, at)
                at = pairs.end() if pairs else at
                if at == end or buffer[at] != _NUL:
                    break
                at, self._is_inside = at + 1, False
            elif buffer[at] == _NUL:
                at, self._is_ended = at + 1, True
            else:
                head = _HEAD.match(buffer, at)
                if head is None:
                    break
                queue, arrived, size = head.groups()
                messages.append(Message(queue.decode("ascii", "replace"), int(arrived), int(size)))
                at, self._is_inside = head.end(), True
        return at
