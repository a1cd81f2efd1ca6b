"""Whatever comes from showq's address: messages or a refusal, the same however it comes in pieces."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fuzz.mangled import mangled
from sendgate.mta.showq import Message, QueueParser, ShowqError

_RECORDED = (Path(__file__).resolve().parents[1] / "data" / "showq" / "all-queues").read_bytes()
_PROTOCOL = b"protocol\0mail_queue_list_protocol\0\0"
_PIECES = [
    b"\0",
    b"\0\0",
    b"queue_name\0",
    b"time\0",
    b"size\0",
    b"recipient\0",
    b"reason\0",
    b"17",
    b"-1",
    b"\xff",
    b"x" * 300,
]
_VALUES = st.binary(max_size=40).map(lambda octets: octets.replace(b"\0", b"?"))
_RECIPIENTS = st.lists(st.tuples(_VALUES, _VALUES), max_size=5)
_QUEUES = st.sampled_from(["active", "deferred", "hold", "incoming", "maildrop"])
_MESSAGES = st.builds(Message, _QUEUES, st.integers(0, 2**40), st.integers(0, 2**40))
_CUTS = st.lists(st.integers(0, 5000), max_size=10)


def read(answer: bytes, cuts: list[int]) -> list[Message] | None:
    """The messages of an answer that comes in pieces; None for one that is refused."""
    parser, messages = QueueParser(), []
    places = [0, *sorted(cut for cut in cuts if cut < len(answer)), len(answer)]
    try:
        for begin, end in pairwise(places):
            messages += parser.feed(answer[begin:end])
        parser.close()
    except ShowqError:
        return None
    return messages


def told(message: Message, sender: bytes, recipients: list[tuple[bytes, bytes]]) -> bytes:
    head = f"queue_name\0{message.queue}\0queue_id\x004jX\0time\0{message.arrived}\0size\0{message.size}\0".encode()
    pairs = b"".join(b"recipient\0%b\0reason\0%b\0" % pair for pair in recipients)
    return head + b"forced_expire\x000\0sender\0" + sender + b"\0" + pairs + b"\0"


@given(st.lists(st.tuples(_MESSAGES, _VALUES, _RECIPIENTS), max_size=8), _CUTS)
def test_what_postfix_tells_is_what_is_read(
    messages: list[tuple[Message, bytes, list[tuple[bytes, bytes]]]], cuts: list[int]
) -> None:
    answer = _PROTOCOL + b"".join(told(*one) for one in messages) + b"\0"
    assert read(answer, cuts) == [message for message, _, _ in messages]


@given(mangled([_RECORDED[:3000], _RECORDED[-3000:]], _PIECES) | st.binary(max_size=200), _CUTS)
def test_anything_else_is_read_or_refused_the_same_in_any_pieces(answer: bytes, cuts: list[int]) -> None:
    for whole in (answer, _PROTOCOL + answer):
        assert read(whole, cuts) == read(whole, [])
