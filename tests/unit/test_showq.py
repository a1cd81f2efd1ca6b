"""showq's answers into messages: recorded from a real Postfix, made up, cut short, and no answers at all."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from sendgate.mta.showq import MOST_KEPT, Message, QueueParser, ShowqError
from sendgate.mta.tally import Tally

DATA = Path(__file__).resolve().parents[1] / "data" / "showq"
PROTOCOL = b"protocol\0mail_queue_list_protocol\0\0"
MANY = 100_000


def recorded(name: str) -> bytes:
    return (DATA / name).read_bytes()


def told_by_postqueue() -> list[Message]:
    """What `postqueue -j` said of the queue at the time of the recording."""
    lines = map(json.loads, (DATA / "all-queues.json").read_text().splitlines())
    return [Message(line["queue_name"], line["arrival_time"], line["message_size"]) for line in lines]


def parsed(pieces: Iterable[bytes]) -> list[Message]:
    """All messages of a whole answer."""
    parser = QueueParser()
    messages = [message for piece in pieces for message in parser.feed(piece)]
    parser.close()
    return messages


def record(*pairs: tuple[str, str]) -> bytes:
    return b"".join(f"{name}\0{value}\0".encode() for name, value in pairs) + b"\0"


def message_record(number: int = 0, recipients: int = 1) -> bytes:
    reason = "connect to mx.example.com[192.0.2.1]:25: Connection timed out"
    told = [pair for one in range(recipients) for pair in (("recipient", f"{one}@example.com"), ("reason", reason))]
    head = (("queue_name", "deferred"), ("queue_id", f"4jX{number}"), ("time", str(1_795_353_476 - number)))
    return record(*head, ("size", "280"), ("forced_expire", "0"), ("sender", "news@example.net"), *told)


def test_a_recorded_queue_is_what_postqueue_tells() -> None:
    assert parsed([recorded("all-queues")]) == told_by_postqueue()
    assert {message.queue for message in told_by_postqueue()} == {"incoming", "active", "deferred", "hold", "maildrop"}


def test_an_empty_queue_has_no_messages() -> None:
    assert parsed([recorded("empty")]) == []


@pytest.mark.parametrize("size", [1, 2, 7, 100, 4096])
def test_pieces_of_any_size_make_the_same_messages(size: int) -> None:
    answer = recorded("all-queues")
    assert parsed(answer[at : at + size] for at in range(0, len(answer), size)) == told_by_postqueue()


def test_an_answer_that_breaks_off_anywhere_is_refused() -> None:
    answer = recorded("all-queues")
    for end in [*range(0, len(answer) - 1, 97), *range(len(answer) - 50, len(answer))]:
        parser = QueueParser()
        parser.feed(answer[:end])
        with pytest.raises(ShowqError, match="broke off"):
            parser.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"220 mail.example.com ESMTP Postfix\r\n",
        b"\0",
        b"protocol\0mail_queue_list_protocol_2\0\0\0",
        b"queue_name\0deferred\0queue_id\x004jX\0time\x0017\0size\x001\0\0\0",
        PROTOCOL + b"\0more",
        PROTOCOL + b"\0" + message_record(),
    ],
)
def test_what_is_no_list_of_messages_is_refused_at_once(answer: bytes) -> None:
    with pytest.raises(ShowqError):
        QueueParser().feed(answer)


@pytest.mark.parametrize(
    "pairs",
    [
        [("name", "deferred"), ("queue_id", "4jX"), ("time", "17"), ("size", "1")],
        [("queue_name", "deferred"), ("queue_id", "4jX"), ("size", "1")],
        [("queue_name", "deferred"), ("queue_id", "4jX"), ("time", "soon"), ("size", "1")],
        [("queue_name", "deferred"), ("queue_id", "4jX"), ("time", "17"), ("size", "-1")],
        [("queue_name", "deferred"), ("queue_id", "4jX"), ("time", "9" * 30), ("size", "1")],
        [("queue_name", "deferred"), ("queue_id", "4jX"), ("recipient", "a@x"), ("time", "17"), ("size", "1")],
    ],
)
def test_a_message_that_is_not_told_as_postfix_does_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(ShowqError):
        parsed([PROTOCOL + record(*pairs) + b"\0"])


def test_names_that_a_later_postfix_may_add_are_passed_over() -> None:
    pairs = [
        ("queue_name", "hold"),
        ("queue_id", "4jX"),
        ("tenant", "blue"),
        ("time", "17"),
        ("new", ""),
        ("size", "1"),
    ]
    assert parsed([PROTOCOL + record(*pairs, ("more", "")) + b"\0"]) == [Message("hold", 17, 1)]


def test_a_recipient_that_reads_like_a_message_is_none() -> None:
    tricky = [("recipient", "queue_name"), ("reason", ""), ("recipient", "time"), ("reason", "size")]
    head = [("queue_name", "hold"), ("queue_id", "4jX"), ("time", "17"), ("size", "1"), ("sender", "")]
    assert parsed([PROTOCOL + record(*head, *tricky) * 2 + b"\0"]) == [Message("hold", 17, 1)] * 2


def test_octets_that_are_no_text_do_not_matter() -> None:
    odd = message_record().replace(b"Connection", bytes(range(1, 256)))
    assert len(parsed([PROTOCOL + odd + odd + b"\0"])) == 2


def test_a_message_with_a_hundred_thousand_recipients_is_never_kept_as_a_whole() -> None:
    def pieces() -> Iterator[bytes]:
        yield PROTOCOL
        whole = message_record(recipients=1000)
        yield whole[:-1]
        pairs = whole[whole.index(b"recipient") : -1]
        for _ in range(99):
            yield pairs
        yield b"\0\0"

    tracemalloc.start()
    try:
        assert len(parsed(pieces())) == 1
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("begin", [b"queue_name\0deferred\0sender\0", message_record()[:-1] + b"reason\0"])
def test_a_value_without_end_is_given_up_before_it_fills_the_memory(begin: bytes) -> None:
    parser = QueueParser()
    parser.feed(PROTOCOL + begin)
    with pytest.raises(ShowqError):
        for _ in range(2 * MOST_KEPT // 1000):
            parser.feed(b"x" * 1000)


def many_messages() -> Iterator[bytes]:
    """A whole answer, in pieces as large as they are read from the socket."""
    yield PROTOCOL
    for first in range(0, MANY, 250):
        yield b"".join(map(message_record, range(first, first + 250)))
    yield b"\0"


def test_a_hundred_thousand_messages_are_read_in_little_time() -> None:
    pieces, parser, tally = list(many_messages()), QueueParser(), Tally(1_795_353_476)
    began = time.process_time()
    for piece in pieces:
        tally.add(parser.feed(piece))
    parser.close()
    assert time.process_time() - began < 3  # 0.3 s, when nobody else wants the processor
    assert sum(tally.figures().messages.values()) == MANY


def test_a_long_queue_takes_no_more_memory_than_a_short_one() -> None:
    parser = QueueParser()
    tracemalloc.start()
    try:
        for piece in many_messages():
            parser.feed(piece)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    parser.close()
