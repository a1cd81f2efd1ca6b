r"""SMTP dialogues as text: parsed here, played by `trial.player`.

In: a text of one step a line. Out: a `Dialogue` of typed steps. Refused: `DialogueSyntaxError`, with the line.

    # comment, and empty lines, mean nothing
    C: RCPT TO:<user@example.com>     the client sends this line; without an `S` after it, it just goes on (DATA)
    C! RCPT TO:<a\x00b@example.com>   the same, with Python's escapes: for NUL, 8-bit, a line feed alone
    C> RSET                           pipelined: all `C>` in a row leave in one write, their replies follow
    S: 250 2.1.5                      the server's next reply begins with this
    S~ 550 5\.7\.1 .*suppressed       the server's next reply matches this regular expression from its start on
    S: 250-SIZE                       one line of a reply of several, and
    S: 250 CHUNKING                   its last expected line: they come in this order, others may be between
    EOF                               the server closes the connection
    HANGUP                            the client drops it

A comment after a step is not one: everything after the mark belongs to the step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


class DialogueSyntaxError(ValueError):
    """A line that is no step; the message has its number."""


@dataclass(frozen=True)
class Send:
    """The client sends these octets, with CRLF at their end; several pipelined ones go in one write."""

    line: int
    octets: bytes
    pipelined: bool = False


@dataclass(frozen=True)
class Expect:
    """The server's next reply. `lines` are beginnings of reply lines in order, unless there is a `pattern`."""

    line: int
    lines: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None

    def accepts(self, reply: str) -> bool:
        """Whether a reply (its lines joined by a line feed, each `250 text`) is the expected one."""
        if self.pattern:
            return self.pattern.match(reply) is not None
        found = iter(reply.split("\n"))
        return all(any(line.startswith(start) for line in found) for start in self.lines)


@dataclass(frozen=True)
class Closed:
    """The server closes the connection."""

    line: int


@dataclass(frozen=True)
class HangUp:
    """The client drops the connection without QUIT."""

    line: int


Step = Send | Expect | Closed | HangUp


@dataclass(frozen=True)
class Dialogue:
    """Steps in order, and the text they come from, for messages about them."""

    text: str
    steps: tuple[Step, ...]


def load(path: Path) -> Dialogue:
    """Read a dialogue from a file."""
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> Dialogue:
    """Read a dialogue. Raises DialogueSyntaxError."""
    steps: list[Step] = []
    started: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("S: ") and line[6:7] == "-":
            started += (_reply_line(line[3:]),)
            continue
        step = _step(number, line, started)
        if started and not isinstance(step, Expect):
            raise DialogueSyntaxError(f"line {number}: the reply before it has no last line: {line!r}")
        if steps and isinstance(steps[-1], HangUp | Closed):
            raise DialogueSyntaxError(f"line {number}: nothing can follow the end of the connection: {line!r}")
        started = ()
        steps.append(step)
    if started:
        raise DialogueSyntaxError("the last reply has no last line")
    return Dialogue(text, tuple(steps))


def _step(number: int, line: str, started: tuple[str, ...]) -> Step:
    mark, rest = line[:2], line[2:].removeprefix(" ")
    match mark:
        case "C:" | "C>":
            return Send(number, rest.encode() + b"\r\n", pipelined=mark == "C>")
        case "C!":
            return Send(number, _unescape(number, rest) + b"\r\n")
        case "S:":
            return Expect(number, (*started, _reply_line(rest)))
        case "S~" if not started:
            return Expect(number, pattern=_pattern(number, rest))
        case _ if line.strip() in ("EOF", "HANGUP"):
            return Closed(number) if line.startswith("EOF") else HangUp(number)
    raise DialogueSyntaxError(f"line {number} is no step: {line!r}")


def _reply_line(text: str) -> str:
    return f"{text[:3]} {text[4:]}" if len(text) > 3 else text


def _unescape(number: int, text: str) -> bytes:
    r"""`\xff` is that octet; a character written as such is its UTF-8."""
    plain = b"".join(b"\\x%02x" % octet if octet > 127 else bytes([octet]) for octet in text.encode())
    try:
        return plain.decode("unicode_escape").encode("latin-1")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise DialogueSyntaxError(f"line {number}: {error}") from None


def _pattern(number: int, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise DialogueSyntaxError(f"line {number}: {error}") from None
