"""Dialogues as text: what is read from them, and how they are played, against a server that says what it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trial.dialogue import Closed, DialogueSyntaxError, Expect, HangUp, Send, load, parse
from trial.player import DialogueError, play, play_steps


class FakeServer:
    """Says its greeting, then one reply for each line it gets; None closes the connection."""

    def __init__(self, *replies: str | None) -> None:
        self._replies = replies
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port: int = self._listener.getsockname()[1]
        self.lines: list[bytes] = []
        self.reset = False

    @contextmanager
    def running(self) -> Iterator[FakeServer]:
        self._thread.start()
        yield self
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as lines:
            for reply in self._replies:
                if reply is None:
                    return
                connection.sendall(reply.replace("\n", "\r\n").encode() + b"\r\n")
                if not self._read(lines.readline):
                    return
            while self._read(lines.readline):
                pass

    def _read(self, readline: object) -> bool:
        try:
            line: bytes = readline()  # type: ignore[operator]
        except ConnectionResetError:
            self.reset = True
            return False
        self.lines.append(line)
        return bool(line)


def test_each_mark_is_one_kind_of_step() -> None:
    text = "# comment\n\nS: 220\nC: EHLO x\nC! a\\x00b\nC> RSET\nS~ 250 .*\nHANGUP\n"
    assert [type(step) for step in parse(text).steps] == [Expect, Send, Send, Send, Expect, HangUp]


def test_a_step_knows_its_line() -> None:
    assert [step.line for step in parse("# comment\nS: 220\n\nEOF").steps] == [2, 4]


def test_a_line_of_the_client_ends_with_crlf() -> None:
    assert parse("C: MAIL FROM:<a@b.test>").steps == (Send(1, b"MAIL FROM:<a@b.test>\r\n"),)


def test_an_empty_line_of_the_client_can_be_written() -> None:
    assert parse("C:").steps == (Send(1, b"\r\n"),)


@pytest.mark.parametrize(
    ("written", "octets"),
    [(r"a\x00b", b"a\x00b"), (r"a\xffb", b"a\xffb"), ("ü", "ü".encode()), (r"a\nb", b"a\nb"), (r"a\\b", rb"a\b")],
)
def test_escapes_stand_for_octets(written: str, octets: bytes) -> None:
    assert parse(f"C! {written}").steps == (Send(1, octets + b"\r\n"),)


def test_a_plain_line_has_no_escapes() -> None:
    assert parse(r"C: a\x00").steps == (Send(1, b"a\\x00\r\n"),)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("S: 220\nhello", 2),
        ("S~ 250 [", 1),
        (r"C! \x4", 1),
        (r"C! \u1234", 1),
        ("S: 250-SIZE\nC: RSET", 2),
        ("HANGUP\nC: RSET", 2),
        ("C:RSET\nX: RSET", 2),
    ],
)
def test_a_line_that_is_no_step_is_named(text: str, line: int) -> None:
    with pytest.raises(DialogueSyntaxError, match=f"line {line}"):
        parse(text)


def test_a_dialogue_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("S: 220\nEOF\n")
    assert load(tmp_path / "one.txt").steps == (Expect(1, ("220",)), Closed(2))


@pytest.mark.parametrize(
    ("text", "reply", "accepted"),
    [
        ("S: 250 2.1.5", "250 2.1.5 Ok", True),
        ("S: 250 2.1.5", "250 2.1.0 Ok", False),
        ("S: 250", "550 5.7.1 250", False),
        (r"S~ 550 5\.7\.1 .*suppressed", "550 5.7.1 <a@b.test>: suppressed (ref 1)", True),
        (r"S~ 5\.7\.1", "550 5.7.1", False),
        ("S: 250", "250 sender.test\n250 SIZE 100\n250 DSN", True),
        ("S: 250-SIZE\nS: 250 DSN", "250 sender.test\n250 SIZE 100\n250 8BITMIME\n250 DSN", True),
        ("S: 250-DSN\nS: 250 SIZE", "250 sender.test\n250 SIZE 100\n250 DSN", False),
    ],
)
def test_a_reply_is_compared_from_its_start(text: str, reply: str, accepted: bool) -> None:
    (step,) = parse(text).steps
    assert isinstance(step, Expect)
    assert step.accepts(reply) is accepted


def test_a_dialogue_that_fits_is_played_to_its_end() -> None:
    with FakeServer("220 hello", "250-one\n250 two", None).running() as server:
        outcomes = play(parse("S: 220\nC: EHLO x\nS: 250-one\nS: 250 two\nC: QUIT\nEOF"), server.port)
    assert [outcome.said for outcome in outcomes if outcome.said] == [
        "220 hello",
        "250 one\n250 two",
        "(connection closed)",
    ]
    assert server.lines == [b"EHLO x\r\n", b"QUIT\r\n"]


def test_a_wrong_reply_shows_the_dialogue_and_the_line() -> None:
    text = "S: 220\nC: RCPT TO:<a@b.test>\nS: 550 5.7.1\nC: QUIT"
    with FakeServer("220 hello", "250 2.1.5 Ok").running() as server, pytest.raises(DialogueError) as caught:
        play(parse(text), server.port)
    assert str(caught.value) == (
        "the server did not follow the dialogue:\n    S: 220\n    C: RCPT TO:<a@b.test>\n>>> S: 550 5.7.1\n"
        "    it said: 250 2.1.5 Ok\n    C: QUIT"
    )


def test_pipelined_lines_leave_before_the_first_reply_is_read() -> None:
    text = "S: 220\nC> RSET\nC> NOOP\nS: 250 one\nS: 250 two\nHANGUP"
    with FakeServer("220 hello", "250 one", "250 two").running() as server:
        play(parse(text), server.port)
    assert server.lines[:2] == [b"RSET\r\n", b"NOOP\r\n"]


def test_hangup_drops_the_connection_without_a_word() -> None:
    with FakeServer("220 hello").running() as server:
        play(parse("S: 220\nHANGUP"), server.port)
    assert server.reset


def test_silence_is_a_wrong_reply() -> None:
    with FakeServer("220 hello").running() as server, pytest.raises(DialogueError, match="nothing in time"):
        play(parse("S: 220\nS: 250"), server.port, timeout=0.2)


def test_a_lost_connection_is_a_wrong_reply() -> None:
    with FakeServer("220 hello", None).running() as server, pytest.raises(DialogueError, match="connection closed"):
        play(parse("S: 220\nC: NOOP\nS: 250"), server.port)


def test_the_steps_can_be_played_on_after_a_wrong_reply() -> None:
    with FakeServer("220 hello", "500 what", "250 ok").running() as server:
        outcomes = list(play_steps(parse("S: 220\nC: NOOP\nS: 250\nC: RSET\nS: 250\nHANGUP"), server.port))
    assert [outcome.right for outcome in outcomes] == [True, True, False, True, True, True]
