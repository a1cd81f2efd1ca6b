"""Play an SMTP dialogue against a server on loopback.

In: a `Dialogue` and a port. Out: an `Outcome` for each step, as it happens, or all at once from `play`.
Refused: `DialogueError` (an AssertionError) at the first step that went otherwise; its message shows the whole
dialogue with what the server said, and marks the line.

The server's greeting is a reply like any other: a dialogue begins with `S: 220`.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from trial.dialogue import Closed, Dialogue, Expect, HangUp, Send, Step
from trial.ports import LOOPBACK

TIMEOUT = 20.0
MAX_REPLY_LINE = 4096


@dataclass(frozen=True)
class Outcome:
    """A step and what came of it. `said`: the server's reply, its lines joined by line feeds, or "" for none."""

    step: Step
    right: bool = True
    said: str = ""


class DialogueError(AssertionError):
    """The server did not follow the dialogue."""


def play(dialogue: Dialogue, port: int, timeout: float = TIMEOUT) -> list[Outcome]:
    """Play all steps. Raises DialogueError at the first one that goes otherwise."""
    outcomes = []
    for outcome in play_steps(dialogue, port, timeout):
        outcomes.append(outcome)
        if not outcome.right:
            raise DialogueError(transcript(dialogue, outcomes))
    return outcomes


def play_steps(dialogue: Dialogue, port: int, timeout: float = TIMEOUT) -> Iterator[Outcome]:
    """Play on whatever the server says; it is for the caller to stop. Ends when the connection is lost."""
    with socket.create_connection((LOOPBACK, port), timeout) as connection:
        client = _Client(connection)
        for pipelined, group in itertools.groupby(dialogue.steps, _is_pipelined):
            steps = list(group)
            if pipelined:
                client.send(b"".join(step.octets for step in steps if isinstance(step, Send)))
            for step in steps:
                outcome = Outcome(step) if pipelined else client.take(step)
                yield outcome
                if outcome.said == LOST:
                    return


def transcript(dialogue: Dialogue, outcomes: list[Outcome]) -> str:
    """The text of a dialogue with the replies that differ from it, the failing line marked by `>>>`."""
    wrong = {outcome.step.line: outcome.said for outcome in outcomes if not outcome.right}
    shown = ["the server did not follow the dialogue:"]
    for number, line in enumerate(dialogue.text.rstrip("\n").split("\n"), 1):
        shown.append(f"{'>>>' if number in wrong else '   '} {line}")
        if number in wrong:
            shown += [f"    it said: {said}" for said in wrong[number].split("\n")]
    return "\n".join(shown)


LOST = "(connection closed)"
SILENT = "(nothing in time)"


class _Client:
    """One connection, reading whole replies."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._replies = connection.makefile("rb")

    def take(self, step: Step) -> Outcome:
        match step:
            case Send(octets=octets):
                sent = self.send(octets)
                return Outcome(step, sent, "" if sent else LOST)
            case Expect():
                said = self._reply()
                return Outcome(step, said not in (LOST, SILENT) and step.accepts(said), said)
            case Closed():
                said = self._reply()
                return Outcome(step, said == LOST, said)
            case HangUp():
                self._reset()
                return Outcome(step)

    def send(self, octets: bytes) -> bool:
        try:
            self._connection.sendall(octets)
        except OSError:
            return False
        return True

    def _reply(self) -> str:
        lines = []
        try:
            while line := self._replies.readline(MAX_REPLY_LINE):
                text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
                lines.append(f"{text[:3]} {text[4:]}".rstrip())
                if text[3:4] != "-":
                    return "\n".join(lines)
        except TimeoutError:
            return SILENT
        except ConnectionError:
            pass
        return LOST

    def _reset(self) -> None:
        """Close with a reset, as a client that crashed does."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._replies.close()
        self._connection.close()


def _is_pipelined(step: Step) -> bool:
    return isinstance(step, Send) and step.pipelined
