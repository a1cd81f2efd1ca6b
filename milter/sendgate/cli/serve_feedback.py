"""What `serve` must know of feedback before it runs: whether it is wanted, whether it can be had, its socket.

In: settings. Out: an open socket; the processes themselves are in `feedback_processes`, which is loaded only when they
are wanted. Refused: `SettingsError` for rules, secrets and the state's folder; `ListenError` for the socket.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from sendgate.feedback.state import StateError
from sendgate.settings import Settings
from sendgate.settings_file import SettingsError
from sendgate.smtp import listener


def active(settings: Settings) -> bool:
    """Whether this gate takes feedback in by itself."""
    return bool(settings.feedback.log or settings.feedback.lmtp)


def check(settings: Settings) -> None:
    """Tell what is wrong before anything is started. Raises SettingsError."""
    if not active(settings):
        return
    from sendgate.cli import feedback_parts  # here, so that a gate without feedback does not keep all of it in memory

    feedback_parts.check(settings)
    try:
        feedback_parts.open_state(settings).close()
    except StateError as error:
        raise SettingsError([str(error)]) from None


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket | None]:
    """The LMTP socket, bound for as long as the gate runs; None when there is none. Raises ListenError."""
    given = settings.feedback
    if given.lmtp is None:
        yield None
        return
    bound = listener.listen(given.lmtp, given.lmtp_mode, given.lmtp_group)
    try:
        yield bound
    finally:
        listener.remove(given.lmtp, bound)


def protect(settings: Settings) -> None:
    """Give the LMTP socket its mode and group anew. Raises ListenError."""
    if settings.feedback.lmtp is not None:
        listener.protect(settings.feedback.lmtp, settings.feedback.lmtp_mode, settings.feedback.lmtp_group)
