"""Propagation: how long after a change every pod's gate answers by it.

In: a scale. Out: times from a change of the shared origin until a process beside each of some followers finds it in
its replica, by number of followers, on one Redis, with and without other changes; and from `sendgate add` as a command
until the gate of a pod refuses at RCPT.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import lists, places
from bench.origin import open_origin
from bench.pods import FollowerPart, ReaderPart, WriterPart, entry
from bench.processes import cpu_seconds
from bench.report import Report, Target, progress
from bench.scale import Scale
from sendgate.entry import Add, Change, Remove, parse_subject
from sendgate.store.shared import SharedOrigin
from smtp.mta_side import REPLY, MtaSide
from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

FOLLOWERS = (1, 10, 50)
READERS = 5
OTHERS = (0, 10, 100)
LIMIT_MS = 100
LIST_SIZE = 10_000
COMMAND_TRIES = 30
_FIRST_OTHER, _NEW = 10_000_000, 20_000_000  # numbers of addresses that are not on the list
_PAUSE_SECONDS = 0.02
_FOLLOW_SECONDS = 120
_REFUSAL_SECONDS = 30
_POLL_SECONDS = 0.001


class Delay(NamedTuple):
    """From the call that makes a change, and from its return, until it was seen. In seconds."""

    from_call: float
    from_return: float


Delays = list[Delay]


def run(scale: Scale) -> Report:
    report = Report(
        "propagation",
        f"Propagation of a change, {LIST_SIZE:,} entries, one Redis",
        (
            "pods",
            "other changes/s",
            "change",
            "p50, ms",
            "p90, ms",
            "p99, ms",
            "max, ms",
            "from the call: p50",
            "p99",
            "Redis, µs",
        ),
        notes=[
            "From the return of the call that makes the change (negative: seen before it returned) until a lookup in "
            f"another process finds it; looked for every {_POLL_SECONDS * 1000:g} ms in up to {READERS} of the pods.",
            "Redis, µs: its CPU time for a change and all that the followers ask because of it. "
            "Pods are followers, all on this machine; expiry has no propagation: each gate goes by its clock.",
        ],
    )
    with ExitStack() as stack:
        folder = stack.enter_context(places.folder())
        server = stack.enter_context(RedisServer(folder / "redis"))
        origin = stack.enter_context(closing(open_origin(server.url)))
        origin.apply(Add(entry(lists.address(number))) for number in range(LIST_SIZE))
        followers: list[FollowerPart] = []
        for count in FOLLOWERS:
            progress(f"propagation: {count} followers")
            _start(stack, folder, server.url, followers, count)
            for rate in OTHERS:
                _measure(report, scale, server, origin, followers, rate)
        _measure_commands(report, folder)
    return report


def _start(stack: ExitStack, folder: Path, url: str, followers: list[FollowerPart], count: int) -> None:
    """Start followers until there are so many, and wait until all are in step."""
    for number in range(len(followers), count):
        followers.append(stack.enter_context(FollowerPart(url, folder / f"pod-{number}")))
    wait_until(lambda: all(each.is_in_step() for each in followers), _FOLLOW_SECONDS, "all followers are in step")


def _measure(
    report: Report, scale: Scale, server: RedisServer, origin: SharedOrigin, followers: list[FollowerPart], rate: int
) -> None:
    with ExitStack() as stack:
        last = len(followers) - 1
        chosen = sorted({round(last * part / (READERS - 1)) for part in range(READERS)})
        readers = [stack.enter_context(ReaderPart(followers[number].replica)) for number in chosen]
        writer = stack.enter_context(WriterPart(server.url, _FIRST_OTHER, rate)) if rate else None
        started, spent = time.monotonic(), cpu_seconds([server.pid])
        added, removed = _try(origin, readers, scale.propagation_tries)
        made = writer.stop() if writer else 0
        spent = (cpu_seconds([server.pid]) - spent) / (made + 2 * scale.propagation_tries)
        reached = made / (time.monotonic() - started)
    shape = f"{len(followers)} pods, {rate} other changes/s"
    for what, delays in (("add", added), ("remove", removed)):
        others = f"{reached:.0f} of {rate}" if reached < rate * 0.9 else f"{rate}"
        _add(report, shape, (str(len(followers)), others, what, f"{spent * 1e6:.0f}" if rate else ""), delays)
        if len(followers) == FOLLOWERS[-1]:
            p99 = _percentile(sorted(delay.from_return for delay in delays), 99)
            report.targets.append(Target(f"{shape}, {what}: p99, ms", p99 * 1000, LIMIT_MS))
    if rate:
        report.figures[f"{shape}: Redis's CPU for a change, µs"] = spent * 1e6


def _try(origin: SharedOrigin, readers: list[ReaderPart], tries: int) -> tuple[Delays, Delays]:
    """Add an address and remove it again, so many times; one delay for each reader."""
    chance = random.Random(0)
    found: tuple[Delays, Delays] = [], []
    for number in range(-3, tries):  # the first only warm up
        address = lists.address(_NEW + number)
        changes: tuple[Change, Change] = Add(entry(address)), Remove(parse_subject(address))
        for change, delays in zip(changes, found, strict=True):
            for reader in readers:
                reader.await_change(address, isinstance(change, Add))
            time.sleep(chance.uniform(0, _PAUSE_SECONDS))
            called = time.monotonic()
            origin.apply([change])
            returned = time.monotonic()
            seen = [reader.seen_at() for reader in readers]
            if number >= 0:
                delays += [Delay(at - called, at - returned) for at in seen]
    return found


def _measure_commands(report: Report, folder: Path) -> None:
    """`sendgate add`, from its start, until another pod's gate refuses."""
    progress("propagation: commands")
    with RedisServer(folder / "redis-of-commands") as server, Gate({"store": {"url": server.url}}) as gate:
        delays, starts = [], []
        for number in range(COMMAND_TRIES):
            delays.append(_command(gate, lists.address(_NEW + number)))
            started = time.monotonic()
            gate.run("--version")
            starts.append(time.monotonic() - started)
    _add(report, "1 gate", ("1 gate", "0", "sendgate add", ""), delays)
    report.notes.append(
        f"sendgate add: the whole command, until RCPT is refused over the milter protocol, {COMMAND_TRIES} times; "
        f"`sendgate --version`, which does nothing else, takes {median(starts) * 1000:.0f} ms."
    )


def _command(gate: Gate, address: str) -> Delay:
    """One try."""
    with _asking(gate, address) as is_refused:
        started = time.monotonic()
        command = subprocess.Popen(
            [sys.executable, "-m", "sendgate", "add", address, "--reason", "hard_bounce", "--config", str(gate.config)],
            stdout=subprocess.DEVNULL,
        )
        ended = 0.0
        deadline = started + _REFUSAL_SECONDS
        refused = 0.0
        while not (ended and refused):
            if not refused and next(is_refused):
                refused = time.monotonic()
            if not ended and command.poll() is not None:
                ended = time.monotonic()
            if time.monotonic() > deadline:
                command.kill()
                raise RuntimeError(f"`sendgate add` was not followed by a refusal: {gate.log_text()}")
            time.sleep(_POLL_SECONDS)
    if command.returncode:
        raise RuntimeError(f"`sendgate add` ended with {command.returncode}")
    return Delay(refused - started, refused - ended)


@contextmanager
def _asking(gate: Gate, address: str) -> Iterator[Iterator[bool]]:
    """Whether the gate refuses an address at RCPT, as often as it is asked for."""

    def ask(mta: MtaSide) -> Iterator[bool]:
        while True:
            mta.mail(b"<bounce+bench@example.com>")
            yield mta.rcpt(f"<{address}>".encode()).code == REPLY
            mta.abort()

    with MtaSide(gate.socket) as mta:
        yield ask(mta)


def _add(report: Report, shape: str, words: tuple[str, str, str, str], delays: Delays) -> None:
    """One row. words: pods, other changes, what was changed, and what it cost Redis."""
    pods, others, change, spent = words
    after = sorted(delay.from_return * 1000 for delay in delays)
    whole = sorted(delay.from_call * 1000 for delay in delays)
    shown = [
        *(_percentile(after, share) for share in (50, 90, 99, 100)),
        _percentile(whole, 50),
        _percentile(whole, 99),
    ]
    report.rows.append((pods, others, change, *(f"{value:.1f}" for value in shown), spent))
    names = ("p50", "p90", "p99", "max", "p50 from the call", "p99 from the call")
    report.figures |= {f"{shape}, {change}: {name}, ms": value for name, value in zip(names, shown, strict=True)}


def _percentile(ordered: list[float], share: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]
