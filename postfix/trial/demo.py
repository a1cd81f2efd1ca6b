"""The demo: a private Postfix with the gate in front, a sample list, one SMTP conversation, and time to play.

In: `--port` (2525) for Postfix, `--once` to end after the conversation. Out: the conversation with each reply marked
right or wrong, the campaign's metrics, and how to try by hand; then it stays until Ctrl-C or SIGTERM.
Exit code: 0 when every reply was right, 1 when not, 2 when it cannot run, 130 when stopped before the end.
Refused: a port in use, a user who is not root, a machine without Postfix; each with what helps.

Signals only set a flag, which is looked at between the steps: whenever one comes, everything that was started is
known and ends, and no file stays.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path

from trial import show
from trial.dialogue import Dialogue, Expect, Send, Step, load
from trial.gate import Gate
from trial.mta import Postfix, TrialError
from trial.player import play_steps
from trial.ports import LOOPBACK, can_bind
from trial.sink import Sink
from trial.waiting import wait_until

SAMPLE = Path(__file__).parent / "sample"
CAMPAIGN = "spring-sale"
DEFAULT_PORT = 2525
RIGHT, WRONG, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 130


class StopRequestedError(Exception):
    """Somebody asked for the end before the conversation was over."""


class Stop:
    """Whether somebody asked for the end, by Ctrl-C, SIGTERM or by closing the terminal."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._asked.set())

    def check(self) -> None:
        if self._asked.is_set():
            raise StopRequestedError

    def wait(self) -> None:
        self._asked.wait()


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    stop = Stop()
    try:
        with ExitStack() as started:
            return _run(options, stop, started)
    except StopRequestedError:
        show.note("Stopped before the end.")
        return INTERRUPTED
    except (TrialError, TimeoutError) as error:
        show.problem(str(error))
        return CANNOT_RUN


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="trial.demo", description="Postfix with Sendgate in front, to look at and to play with."
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="Postfix's port on 127.0.0.1 (%(default)s)")
    parser.add_argument("--once", action="store_true", help="end after the conversation")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, stop: Stop, started: ExitStack) -> int:
    gate, sink = _start(options.port, stop, started)
    right = _converse(options.port, gate, sink, stop)
    show.verdict(right)
    if not options.once:
        show.by_hand(options.port, gate)
        stop.wait()
        show.note("Stopping.")
    return RIGHT if right else WRONG


def _start(port: int, stop: Stop, started: ExitStack) -> tuple[Gate, Sink]:
    """The gate with the sample list, the sink, and Postfix between them."""
    if not can_bind(port):
        raise TrialError(f'port {port} of {LOOPBACK} is in use; take another: make run ARGS="--port {port + 1}"')
    show.note("Starting Sendgate with a store of its own ...")
    gate = Gate()
    started.callback(gate.remove)
    _import_sample(gate)
    stop.check()
    started.enter_context(gate)
    stop.check()
    sink = started.enter_context(Sink())
    show.note(f"Starting a private Postfix on {LOOPBACK}:{port} ...")
    started.enter_context(Postfix([gate.milter], relayhost=f"[{LOOPBACK}]:{sink.port}", port=port))
    stop.check()
    return gate, sink


def _import_sample(gate: Gate) -> None:
    path = SAMPLE / "list.csv"
    done = gate.run("import", str(path))
    if done.returncode:
        raise TrialError(f"the sample list was not imported: {done.stderr or done.stdout}")
    show.sample(path)


def _converse(port: int, gate: Gate, sink: Sink, stop: Stop) -> bool:
    """Play the conversation; then show what it left in the metrics and at the next hop. True when all was right."""
    dialogue = load(SAMPLE / "conversation.txt")
    outcomes = []
    for outcome in show.conversation(dialogue, play_steps(dialogue, port)):
        outcomes.append(outcome)
        stop.check()
    right = len(outcomes) == len(dialogue.steps) and all(outcome.right for outcome in outcomes)
    delivered = right and _delivered(dialogue, sink)
    counted = _counted(dialogue, gate)
    show.metrics(gate.metrics(), CAMPAIGN)
    return right and delivered and counted


def _delivered(dialogue: Dialogue, sink: Sink) -> bool:
    """Whether the message came to those who were accepted, and to nobody else."""
    replies = {step.line: following for step, following in pairwise(dialogue.steps) if _is_recipient(step)}
    accepted = sum(isinstance(reply, Expect) and reply.accepts("250 2.1.5 Ok") for reply in replies.values())
    recipients = sink.wait_for(1)[0].recipients
    show.delivered(recipients)
    return len(recipients) == accepted


def _counted(dialogue: Dialogue, gate: Gate) -> bool:
    """Whether the campaign's recipients are all in the metrics."""
    sent = sum(_is_recipient(step) for step in dialogue.steps)
    with suppress(TimeoutError):
        wait_until(lambda: gate.metric("sendgate_recipients_total", campaign=CAMPAIGN) == sent, 5, "all are counted")
        return True
    show.problem(f"the metrics do not show {sent} recipients of {CAMPAIGN}")
    return False


def _is_recipient(step: Step) -> bool:
    return isinstance(step, Send) and step.octets.startswith(b"RCPT ")


if __name__ == "__main__":
    sys.exit(main())
