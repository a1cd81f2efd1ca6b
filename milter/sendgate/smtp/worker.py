"""One worker process: libmilter on the listening socket that the supervisor bound.

In: the sessions' callbacks, the socket's descriptor, a pipe from and one to the supervisor. Out: SMTP sessions.
Refused: nothing; it ends when it is told to drain, when the supervisor is gone, or by a signal.

libmilter accepts connections as long as it runs. To drain, the worker puts a socket that nobody connects to in the
place of the listening one; the sessions it has go on, and when the last has ended the process ends. Waiting for the
word, and a chore once a second, take the one thread that a worker has beside libmilter's. It starts with the stop
signals blocked, so that libmilter's own signal thread, which waits for them, is the one to get them.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread

import milter

from sendgate.smtp.session import Connection, Context, Sessions

READY, WANTS_RECYCLING = b"R", b"W"
_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
DRAIN_WORD = b"D"
_CHORE_SECONDS = 1.0
_ORPHAN_SECONDS = 5.0
"""How long sessions may go on when the supervisor has died: a new one wants to start in its place."""
_POLL_SECONDS = 0.05
_COLLECT_AFTER = 50_000
"""Garbage in cycles is rare here; reference counts free the rest at once."""
_IDLE_POLLS = 10
"""So many polls without a session end a drain: a connection just accepted is not counted before it negotiates."""
_SESSION_TIMEOUT_SECONDS = 7210
"""How long libmilter waits for Postfix, a little more than Postfix waits for anything by default."""


@dataclass(frozen=True, slots=True)
class Links:
    """A worker's descriptors: the listening socket, the pipe that brings the word to drain, and the one to report."""

    listener: int
    control: int
    report: int


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is negotiated with Postfix: only the events and actions that the settings need.

    headers: whether any header is of interest; end_actions: whether recipients may be discarded or messages held;
    silent_mail: no reply to MAIL, which saves a round trip on a Unix socket and costs 40 ms over TCP (Nagle's
    algorithm meets delayed acknowledgements).
    """

    headers: bool
    end_actions: bool
    silent_mail: bool

    @property
    def actions(self) -> int:
        wanted = milter.SETSYMLIST
        if self.end_actions:
            wanted |= milter.DELRCPT | milter.QUARANTINE
        return int(wanted)

    @property
    def events(self) -> int:
        """The SMFIP flags: what Postfix need not send, and what it need not wait for."""
        flags = milter.P_NOCONNECT | milter.P_NOHELO | milter.P_NOUNKNOWN | milter.P_NOBODY
        flags |= milter.P_NR_HDR if self.headers else milter.P_NOHDRS | milter.P_NOEOH
        return int(flags | (milter.P_NR_MAIL if self.silent_mail else 0))


def run(sessions: Sessions, links: Links, protocol: Protocol, chore: Callable[[], None]) -> None:
    """Serve until told to drain; the process ends when the last session has. `chore` is called once a second."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    gc.freeze()  # what was loaded so far stays: looking through it again and again would cost every message
    gc.set_threshold(_COLLECT_AFTER)
    _register(sessions, protocol)
    milter.setconn(f"fd:{links.listener}")
    milter.settimeout(_SESSION_TIMEOUT_SECONDS)
    milter.opensocket(False)
    Thread(target=_drain_when_told, args=(sessions, links, chore), name="drain", daemon=True).start()
    os.write(links.report, READY)
    milter.main()


def recycler(report: int, after_messages: int) -> Callable[[], None]:
    """A function to call after each message: asks the supervisor once for a replacement after so many; 0 is never."""
    left = after_messages

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.write(report, WANTS_RECYCLING)

    return count


def _register(sessions: Sessions, protocol: Protocol) -> None:
    def negotiate(context: Context, options: list[int]) -> int:
        offered_actions, offered_events = options[0], options[1]
        options[0] = protocol.actions & offered_actions
        options[1] = protocol.events & offered_events
        options[2] = options[3] = 0
        context.setsymlist(milter.M_ENVFROM, "{auth_authen}")
        context.setsymlist(milter.M_ENVRCPT, "{rcpt_addr}")
        context.setsymlist(milter.M_EOM, "i")
        agreed = options[1]
        connection = Connection(
            mail_answer=milter.NOREPLY if agreed & milter.P_NR_MAIL else milter.CONTINUE,
            header_answer=milter.NOREPLY if agreed & milter.P_NR_HDR else milter.CONTINUE,
        )
        sessions.opened(context, connection)
        return int(milter.CONTINUE)

    milter.set_flags(protocol.actions)
    milter.set_exception_policy(milter.TEMPFAIL)
    milter.set_envfrom_callback(sessions.envfrom)
    milter.set_envrcpt_callback(sessions.envrcpt)
    milter.set_header_callback(sessions.header)
    milter.set_eoh_callback(sessions.eoh)
    milter.set_eom_callback(sessions.eom)
    milter.set_abort_callback(sessions.abort)
    milter.set_close_callback(sessions.close)
    milter.register("sendgate", data=sessions.data, negotiate=negotiate)


def _drain_when_told(sessions: Sessions, links: Links, chore: Callable[[], None]) -> None:
    """Do the chore until the control pipe brings the word to drain, or ends because the supervisor has died."""
    while not select.select([links.control], [], [], _CHORE_SECONDS)[0]:
        chore()
    told = os.read(links.control, 1) == DRAIN_WORD
    patience_ends = float("inf") if told else time.monotonic() + _ORPHAN_SECONDS
    if not told:
        _close_the_door(links.listener)
    _stop_listening(links.listener)
    idle_polls = 0
    while idle_polls < _IDLE_POLLS and time.monotonic() < patience_ends:
        time.sleep(_POLL_SECONDS)
        idle_polls = 0 if sessions.active else idle_polls + 1
    os._exit(0)


def _close_the_door(listener: int) -> None:
    """Make the listening socket refuse, for all who share it: without a supervisor nobody shall knock in vain.

    Closing it is not enough. libmilter's listener waits on it for up to 5 s, and so long it would still take
    connections that nobody serves, and seem to be in use.
    """
    with socket.socket(fileno=os.dup(listener)) as shared, suppress(OSError):
        shared.shutdown(socket.SHUT_RDWR)


def _stop_listening(listener: int) -> None:
    idle = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    idle.bind("")  # an address of the kernel's choice, in the abstract name space
    idle.listen(1)
    idle.setblocking(False)
    os.dup2(idle.fileno(), listener)
