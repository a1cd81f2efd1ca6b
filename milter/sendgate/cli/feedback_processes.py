"""The processes of feedback that `serve` runs: the follower of Postfix's log, the LMTP server; and their figures.

In: settings, the keyer. Out: the main function of each process, figures for the metrics.
Refused: `SettingsError` and `StateError` for what cannot be used; the supervisor tries again.
"""

from __future__ import annotations

import re
import select
import socket
from contextlib import closing, suppress
from pathlib import Path

from sendgate import events
from sendgate.cli import feedback_parts
from sendgate.feedback import lmtp
from sendgate.feedback.breaker import Breaker
from sendgate.feedback.follower import POSITION, Follower
from sendgate.feedback.intake import BREAKER_STATE
from sendgate.feedback.log.tail import Position
from sendgate.feedback.state import State, StateError
from sendgate.keys import Keyer
from sendgate.metrics_feedback import FeedbackFigures
from sendgate.settings import Settings


def follow_log(settings: Settings, keyer: Keyer, control: int) -> None:
    """Follow Postfix's log until the control pipe ends."""

    def wait(seconds: float) -> bool:
        return bool(select.select([control], [], [], seconds)[0])

    path = Path(settings.feedback.log or "")
    if not path.exists():
        events.log_missing(str(path))
    with closing(feedback_parts.open_state(settings)) as state:
        Follower(feedback_parts.follow_plan(settings, keyer, state)).run(wait)


def serve_lmtp(settings: Settings, keyer: Keyer, bound: socket.socket, control: int) -> None:
    """Take bounces and complaints in by LMTP until the control pipe ends."""
    with closing(feedback_parts.open_state(settings)) as state:
        receiver = feedback_parts.receiver(settings, keyer, state)
        lmtp.run(bound, receiver.receive, control)


def figures(settings: Settings) -> FeedbackFigures | None:
    """What the metrics tell of feedback; None while its state cannot be read."""
    with suppress(StateError), closing(feedback_parts.open_state(settings)) as state:
        breaker = Breaker(settings.feedback, state.get(BREAKER_STATE))
        milter = None if settings.feedback.log is None else _named_by_postfix(settings.milter.socket)
        return FeedbackFigures(state.counts(), breaker.open_providers(), _behind(settings, state), milter)
    return None


def _named_by_postfix(socket_address: str) -> str:
    """A milter's address as main.cf has it, and Postfix's log."""
    inet = re.fullmatch(r"inet6?:(\d+)@(\S+)", socket_address)
    return f"inet:{inet[2]}:{inet[1]}" if inet else socket_address


def _behind(settings: Settings, state: State) -> int | None:
    """Octets of the log that are not taken in; of the newest file only, when it was rotated meanwhile."""
    if settings.feedback.log is None:
        return None
    try:
        status = Path(settings.feedback.log).stat()
    except OSError:
        return 0
    saved = state.get(POSITION)
    position = Position.of(saved) if saved else None
    is_same = position is not None and (position.device, position.inode) == (status.st_dev, status.st_ino)
    return max(status.st_size - (position.offset if position and is_same else 0), 0)
