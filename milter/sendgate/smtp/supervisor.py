"""The supervisor: starts the processes, keeps them running, replaces workers, reloads, drains.

In: a `Plan` (what runs in each process, how many workers, their limits), and signals. Out: an exit status.
Refused: nothing by itself; a reload that fails leaves the old plan in force.

It has one thread and waits in sigtimedwait with its signals blocked, so that none is lost and none interrupts
anything. SIGTERM and SIGINT drain, SIGHUP reloads, SIGCHLD means that a child has ended.

A worker is replaced by starting its successor first: it is told to drain only when the successor serves.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sendgate import events
from sendgate.smtp.backoff import YOUNG_SECONDS, Backoff
from sendgate.smtp.children import SUPERVISED_SIGNALS, Child, fork
from sendgate.smtp.worker import READY, WANTS_RECYCLING

TICK_SECONDS = 0.5
DRAIN_SECONDS = 9.0
"""How long sessions may go on after SIGTERM. What is still there then is killed; Postfix answers 451."""
HELPER_SECONDS = 3.0
UNTRUSTED_SECONDS = 1.0
"""How long a worker that must not open the store goes on when its successor may: it has nothing but 451 to say."""
CHECK_EVERY_SECONDS = 5.0
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}
_VERIFIER = "verify"


class Counters(Protocol):
    """The metrics that the supervisor keeps."""

    def workers(self, count: int) -> None: ...
    def worker_restart(self, cause: str) -> None: ...
    def config_reload(self, result: str) -> None: ...
    def store_fault(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. A reload replaces it as a whole.

    worker: (name, control, report, trusted) -> None, in a worker; trusted False: the store must not be opened.
    helpers: the other processes by name: (control, report) -> None.
    verify: reads the whole store in a process of its own; anything but a clean end means that it is damaged.
    worker_memory: bytes; drain_seconds: how long a replaced worker may go on with its sessions.
    """

    workers: int
    worker_memory: int
    drain_seconds: float
    worker: Callable[[str, int, int, bool], None]
    helpers: dict[str, Callable[[int, int], None]]
    verify: Callable[[int, int], None]


class Supervisor:
    """Runs a plan.

    reload: makes a new plan, or returns None after having told what is wrong; stop_listening: closes the door, so
    that Postfix is refused at once and answers 451 instead of waiting for somebody who will not come.
    """

    def __init__(
        self,
        plan: Plan,
        counters: Counters,
        reload: Callable[[], Plan | None],
        stop_listening: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._counters = counters
        self._reload = reload
        self._stop_listening = stop_listening
        self._children: list[Child] = []
        self._backoff = Backoff()
        self._trusted = True
        self._next_check = 0.0
        self._stopping = False

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, and until every child has ended."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISED_SIGNALS)
        while not (self._stopping and not self._children):
            if not self._stopping:
                self._start_what_is_missing()
                self._retire_surplus()
            self._counters.workers(len(self._serving()))
            received = signal.sigtimedwait(SUPERVISED_SIGNALS, TICK_SECONDS)
            if received is not None:
                self._handle(signal.Signals(received.si_signo))
            self._reap()
            self._read_reports()
            self._kill_overdue()
            self._check_now_and_then()

    def _handle(self, received: signal.Signals) -> None:
        if received in (signal.SIGTERM, signal.SIGINT):
            self._stop(received.name)
        elif received == signal.SIGHUP and not self._stopping:
            self._load_again()

    def _stop(self, name: str) -> None:
        if not self._stopping:
            events.stopping(name)
            self._stopping = True
            self._stop_listening()
            for child in self._children:
                child.tell_to_end("stop", DRAIN_SECONDS)

    def _load_again(self) -> None:
        plan = self._reload()
        self._counters.config_reload("failed" if plan is None else "ok")
        if plan is None:
            return
        self._plan = plan
        for child in self._children:
            if self._is_worker(child):
                child.retire = child.retire or "reload"
            else:
                child.tell_to_end("reload", HELPER_SECONDS)

    def _start_what_is_missing(self) -> None:
        now = time.monotonic()
        for name, run in self._plan.helpers.items():
            if not any(child.name == name for child in self._children) and self._backoff.may_start(name, now):
                self._start(name, run)
        retiring = any(child.retire for child in self._serving())
        wanted = self._plan.workers + (1 if retiring else 0)
        while len(self._staying()) < wanted and self._backoff.may_start("worker", now):
            self._start_worker()

    def _retire_surplus(self) -> None:
        """Tell one worker at a time to drain: one whose successor serves, or one too many."""
        serving = sorted(self._serving(), key=lambda child: (not child.retire, child.started))
        if len(serving) > self._plan.workers:
            surplus = serving[0]
            patience = UNTRUSTED_SECONDS if surplus.retire == "store" else self._plan.drain_seconds
            surplus.tell_to_end(surplus.retire or "reload", patience)
            self._counters.worker_restart(surplus.ending)

    def _start_worker(self) -> None:
        taken = {child.name for child in self._children}
        name = next(f"worker-{slot}" for slot in range(len(taken) + 1) if f"worker-{slot}" not in taken)
        plan, trusted = self._plan, self._trusted
        child = self._start(name, lambda control, report: plan.worker(name, control, report, trusted))
        child.trusts_store = trusted

    def _start(self, name: str, run: Callable[[int, int], None]) -> Child:
        child = fork(name, self._children, run)
        self._children.append(child)
        events.process_started(name, child.pid)
        return child

    def _reap(self) -> None:
        for child in list(self._children):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._children.remove(child)
                child.forget()
                self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, status: int) -> None:
        words = f"signal {-status}" if status < 0 else f"exit {status}"
        if child.name == _VERIFIER:
            self._verified(status == 0)
            return
        if child.ending:
            events.process_ended(child.name, child.pid, words, child.ending, asked=True)
            return
        cause = "killed" if status in (0, -signal.SIGKILL, -signal.SIGTERM) else "crashed"
        events.process_ended(child.name, child.pid, words, cause, asked=False)
        role = "worker" if self._is_worker(child) else child.name
        age = time.monotonic() - child.started
        self._backoff.died(role, age, time.monotonic())
        if self._is_worker(child):
            self._counters.worker_restart(cause)
            if child.trusts_store and _points_at_store(-status, age):
                self._suspect_store(words)

    def _suspect_store(self, cause: str) -> None:
        """From now on no new worker opens the store, until the verifier has found it sound. Told once."""
        if self._trusted:
            self._trusted = False
            self._counters.store_fault()
            events.store_suspected(cause)

    def _verified(self, sound: bool) -> None:
        """The store has been read through. If it is sound, workers that must not open it get successors that may."""
        if not sound:
            return
        self._trusted = True
        events.store_recovered("supervisor")
        for child in self._staying():
            if not child.trusts_store:
                child.retire = child.retire or "store"

    def _read_reports(self) -> None:
        for child in self._children:
            said = child.read_reports()
            if READY in said:
                child.ready = True
            if WANTS_RECYCLING in said:
                child.retire = child.retire or "recycled"

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.kill_at <= now:
                child.kill()

    def _check_now_and_then(self) -> None:
        if time.monotonic() < self._next_check or self._stopping:
            return
        self._next_check = time.monotonic() + CHECK_EVERY_SECONDS
        for child in self._serving():
            if own_memory(child.pid) > self._plan.worker_memory:
                child.retire = child.retire or "memory"
        if not self._trusted and not any(child.name == _VERIFIER for child in self._children):
            self._start(_VERIFIER, self._plan.verify)

    def _is_worker(self, child: Child) -> bool:
        return child.name.startswith("worker-")

    def _staying(self) -> list[Child]:
        return [child for child in self._children if self._is_worker(child) and not child.ending]

    def _serving(self) -> list[Child]:
        return [child for child in self._staying() if child.ready]


def _points_at_store(signal_number: int, age: float) -> bool:
    """Whether a death looks like that of a process that read a damaged file: a bus error, or a crash at once."""
    return signal_number == signal.SIGBUS or (signal_number in _CRASHES and age < YOUNG_SECONDS)


def own_memory(pid: int) -> int:
    """Anonymous memory of a process in bytes, without the mapped list; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("RssAnon:")), "RssAnon: 0 kB")
    return int(line.split()[1]) * 1024
