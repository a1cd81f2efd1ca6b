"""The reader of messages: parts, headers and texts of whatever comes."""

from __future__ import annotations

import time

import pytest

from sendgate.feedback.mail.headers import decode_words, read_content_type, read_headers
from sendgate.feedback.mail.mime import HEAD_OCTETS, Message, read_message


def texts(data: str | bytes) -> list[str]:
    return [part.text.strip() for part in read(data).parts if part.text.strip()]


def read(data: str | bytes) -> Message:
    return read_message(data if isinstance(data, bytes) else data.encode())


def multipart(*parts: str, boundary: str = "b", kind: str = "mixed") -> str:
    return (
        f"Content-Type: multipart/{kind}; boundary={boundary}\n\n"
        + "".join(f"--{boundary}\n{part}\n" for part in parts)
        + f"--{boundary}--\n"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_lines_may_end_in_any_way(end: str) -> None:
    message = read("Subject: Hello\nTo: anna@example.net\n\nfirst\nsecond\n".replace("\n", end))
    assert message.headers.get("subject") == "Hello"
    assert message.parts[0].text == "first\nsecond\n"


@pytest.mark.parametrize("before", ["From anna Thu Mar 12 10:00:00 2026\n", ">From x\n", "\n\n", "\nFrom x\n"])
def test_what_comes_before_the_header_is_passed_over(before: str) -> None:
    assert read(before + "Subject: Hello\n\ntext").headers.get("subject") == "Hello"


def test_a_missing_empty_line_ends_the_header_at_what_is_no_field() -> None:
    message = read("Subject: Hello\nThis is text\nand more")
    assert (message.headers.get("subject"), message.parts[0].text) == ("Hello", "This is text\nand more")


def test_an_odd_line_among_the_fields_is_passed_over() -> None:
    assert read("Subject: Hello\nan odd line\nTo: anna@example.net\n\ntext").headers.get("to") == "anna@example.net"


def test_folded_fields_are_one_line() -> None:
    headers, _ = read_headers("Subject: one\n two\n\tthree\n   \nTo: x\n\n")
    assert headers.items[0] == ("subject", "one two three")
    assert headers.get("to") == "x"


def test_encoded_words_are_decoded_whatever_they_claim() -> None:
    assert decode_words("=?utf-8?B?w6Q=?= =?iso-8859-1?Q?=F6_?= x") == "äö  x"
    assert decode_words("=?x-none?Q?=C3=A4?=") == "ä"
    assert decode_words("=?punycode?B?AAAA?=").isascii()
    assert decode_words("=?utf-8?B?w6?=") is not None


def test_octets_without_a_charset_are_utf_8_else_latin_1_else_japanese() -> None:
    assert read("Subject: ä\n\n".encode()).headers.get("subject") == "ä"
    assert read("Subject: ä\n\n".encode("latin-1")).headers.get("subject") == "ä"
    assert read("Subject: 日本\n\n".encode("iso-2022-jp")).headers.get("subject") == "日本"


def test_the_parameters_of_a_type_may_be_quoted_spaced_and_broken() -> None:
    kind, parameters = read_content_type('Multipart/Report; Report-Type = delivery-status ; boundary="a b"; x="open')
    assert kind == "multipart/report"
    assert parameters == {"report-type": "delivery-status", "boundary": "a b", "x": "open"}


@pytest.mark.parametrize("charset", ["utf-7", "unicode-1-1-utf-7"], ids=str)
def test_utf_7_is_decoded(charset: str) -> None:
    data = f"Content-Type: text/plain; charset={charset}\n\n".encode() + "Grüße <anna@example.net>".encode("utf-7")
    assert texts(data) == ["Grüße <anna@example.net>"]


@pytest.mark.parametrize("charset", ["x-none", "", "idna", "unicode_escape", "undefined", "base64", "\0"])
def test_an_unknown_charset_is_utf_8_else_latin_1(charset: str) -> None:
    head = f"Content-Type: text/plain; charset={charset}\n\n".encode()
    assert texts(head + "Grüße".encode()) == ["Grüße"]
    assert texts(head + "Grüße".encode("latin-1")) == ["Grüße"]


def test_broken_base64_is_decoded_as_far_as_it_goes() -> None:
    head = "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n"
    assert texts(head + "SGVsbG8gd29ybGQ=") == ["Hello world"]
    assert texts(head + "SGVsbG8\n gd29ybGQ") == ["Hello world"]
    assert texts(head + "Not base64: <anna@example.net>") == ["Not base64: <anna@example.net>"]


def test_a_report_in_base64_is_decoded() -> None:
    part = "Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\nQWN0aW9uOiBmYWlsZWQ="
    assert texts(multipart(part)) == ["Action: failed"]


@pytest.mark.parametrize(
    "head", ["multipart/mixed", "multipart/mixed; boundary=other", "multipart/mixed; boundary="], ids=str
)
def test_a_boundary_is_guessed_when_it_is_not_told(head: str) -> None:
    body = "preamble\n--xyz\nContent-Type: text/plain\n\none\n--xyz\nContent-Type: text/plain\n\ntwo\n--xyz--\n"
    assert texts(f"Content-Type: {head}\n\n{body}") == ["one", "two"]


def test_a_multipart_without_any_boundary_line_is_text() -> None:
    assert texts("Content-Type: multipart/mixed; boundary=b\n\nonly text") == ["only text"]


def test_a_boundary_that_another_one_begins_with_is_not_mixed_up() -> None:
    inner = multipart("\ninner", boundary="b1").replace("multipart/mixed", "multipart/alternative")
    assert texts(multipart(inner, "\nouter")) == ["inner", "outer"]


def test_a_missing_closing_boundary_loses_nothing() -> None:
    assert texts(multipart("\none", "\ntwo").removesuffix("--b--\n")) == ["one", "two"]


def test_parts_of_embedded_messages_are_marked_and_their_header_is_at_hand() -> None:
    carried = "Content-Type: message/rfc822\n\nTo: anna@example.net\nContent-Type: text/plain\n\ninside"
    message = read(multipart("\noutside", carried))
    kinds = [(part.type, part.embedded, part.depth) for part in message.parts]
    assert kinds == [
        ("multipart/mixed", False, 0), ("text/plain", False, 1), ("message/rfc822", True, 1), ("text/plain", True, 2),
    ]  # fmt: skip
    inner = message.parts[2].inner
    assert inner is not None
    assert inner.get("to") == "anna@example.net"


def test_a_returned_header_alone_is_at_hand_too() -> None:
    part = read(multipart("Content-Type: text/rfc822-headers\n\nTo: anna@example.net\n")).parts[1]
    assert part.inner is not None
    assert part.inner.get("to") == "anna@example.net"


def test_the_head_and_the_tail_of_a_long_message_are_read() -> None:
    data = b"Subject: Hello\n\n" + b"x\n" * (HEAD_OCTETS * 20) + b"the end\n"
    message = read(data)
    assert message.headers.get("subject") == "Hello"
    assert message.parts[0].text.endswith("the end\n")
    assert len(message.parts[0].text) < 2 * HEAD_OCTETS


_HOSTILE = {
    "a thousand nested parts": b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(1000)
    ),
    "a thousand nested messages": b"Content-Type: message/rfc822\n\n" * 1000,
    "50 MB on a line": b"x" * 50_000_000,
    "50 MB of empty lines": b"\n" * 50_000_000,
    "50 MB of a folded field": b"Subject: x" + b"\n y" * 16_000_000,
    "a field of spaces": b"Subject: " + b" " * 5_000_000,
    "carriage returns": b"\r" * 5_000_000,
    "boundaries": b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n" * 100_000,
    "boundaries that are longer": b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--bb\n" * 100_000,
    "quotes": b"Content-Type: multipart/mixed; " + b'a="' * 100_000 + b"\n\n",
    "odd lines": b"Subject: x\n" + b"odd line\nTo: x\n" * 100_000,
    "encoded words": b"Subject: " + b"=?utf-8?q?" * 100_000 + b"\n\n",
}


@pytest.mark.parametrize("data", _HOSTILE.values(), ids=_HOSTILE.keys())
def test_no_message_takes_long(data: bytes) -> None:
    started = time.process_time()
    message = read_message(data)
    for part in message.parts:
        assert len(part.text) < 1_000_000
    message.headers.decoded("subject")
    assert len(message.parts) <= 200
    assert time.process_time() - started < 1.0
