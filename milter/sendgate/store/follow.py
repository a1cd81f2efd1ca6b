"""Following the shared origin: copy its lists once, then take in every change, into this pod's own replica.

In: how to reach the origin, the replica's folder. Out: a replica that is in step, and how old it is.
Refused: nothing; while the origin is away, or has lost what it had, the replica stays as it is and is told older.

The marks are stored in the transaction of the changes that they cover, so that an end at any moment loses and repeats
nothing. A shard's changes form a chain: each names the one before. Where the chain does not fit, the lists are copied
anew, beside the replica that is served, and put in its place when they are whole:

    gap          changes were trimmed before they were read; the origin has all that there is
    lost_writes  the origin is behind what we have: it was restored, or a server took over that lacked the last writes
    new_epoch    the shard was wiped and made again

After the last two, what only our replica knows stays in force, until `sendgate repair` has written it back. So it does
where the origin has not the entries that it counts; a pod without a replica takes no copy of that.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sendgate import events
from sendgate.keys import Secrets
from sendgate.store.audit import Audit
from sendgate.store.chain import LOSSES, BrokenChainError, Cause, diagnose
from sendgate.store.copying import Progress, copy_lists
from sendgate.store.counted import OriginLackingError, lacking
from sendgate.store.environment import Environment
from sendgate.store.errors import StoreError, StoreMissingError
from sendgate.store.followed import FollowedReplica, HeldUpError
from sendgate.store.replica_folder import ReplicaFolder
from sendgate.store.shards import Shards
from sendgate.store.tail import Changes, Looked, Tail

Stop = Callable[[float], bool]
"""Waits so many seconds; True, at once, when it is time to end."""

_ITEM_SECONDS = 0.25
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 10.0
_PROGRESS_EVERY_SECONDS = 10.0
_LACKING_SECONDS = 300.0
"""So long an origin that lacked entries is not copied again as long as its counts alone say that it still does."""
_FOLLOWING = "following"


class Counters(Protocol):
    """The metrics that the follower keeps."""

    def origin_up(self, up: bool) -> None: ...
    def resync(self, cause: str) -> None: ...
    def diverged(self, entries: int) -> None: ...


@dataclass(frozen=True, slots=True)
class FollowPlan:
    """What a follower needs to know.

    connect: opens the origin or raises StoreError; secret: of store.hash_key_file, or that and the one before;
    max_size: octets of the replica;
    spread: seconds within which all pods start to copy after a loss, each at a time of its own;
    audit: seconds within which all of the replica is compared to the origin once, 0 for never.
    """

    connect: Callable[[], Shards]
    folder: ReplicaFolder
    secret: Secrets
    max_size: int
    spread: float
    audit: float = 0.0
    clock: Callable[[], float] = time.time
    random: random.Random = field(default_factory=random.Random)


class _StoppedError(Exception):
    """It is time to end, in the middle of a copy."""


class Follower:
    """Follows until it is stopped."""

    def __init__(self, plan: FollowPlan, counters: Counters) -> None:
        self._plan = plan
        self._counters = counters
        self._told = ""
        self._lacking: OriginLackingError | None = None
        self._lacking_until = 0.0

    def run(self, stop: Stop) -> None:
        """Follow. What goes wrong is told, and tried again after a pause that grows and differs from pod to pod."""
        pause = _FIRST_PAUSE_SECONDS
        self._counters.origin_up(False)
        while not stop(0):
            started = time.monotonic()
            try:
                with self._plan.folder.held(), closing(self._plan.connect()) as shards:
                    self._follow(shards, stop)
                    return
            except _StoppedError:
                return
            except StoreError as error:
                self._tell_away(error)
            if time.monotonic() - started > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            if stop(self._plan.random.uniform(pause / 2, pause)):
                return
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _follow(self, shards: Shards, stop: Stop) -> None:
        """Follow over one connection; returns when it is time to end. Raises StoreError."""
        while not stop(0):
            with self._opened(shards, stop) as replica:
                causes = self._broken(shards, replica, stop)
            if causes and not stop(self._plan.random.uniform(0, self._plan.spread)):
                self._resync(shards, causes, stop)

    def _broken(self, shards: Shards, replica: FollowedReplica, stop: Stop) -> dict[int, Cause]:
        """Follow until it is time to end, or the chain breaks: then why, by shard."""
        try:
            self._tail(shards, replica, stop)
        except BrokenChainError as error:
            return diagnose(shards, replica.marks_but(())) or error.causes
        except HeldUpError:
            pass
        return {}

    def _opened(self, shards: Shards, stop: Stop) -> FollowedReplica:
        """The replica; where there is none, or none that can be used, it is made first."""
        try:
            environment = self._open(self._plan.folder.current())
        except StoreError:
            self._resync(shards, dict.fromkeys(range(shards.layout.shards), Cause.BOOTSTRAP), stop)
            environment = self._open(self._plan.folder.current())
        self._plan.folder.tidy()
        return FollowedReplica(environment, shards)

    def _open(self, path: Path) -> Environment:
        return Environment(path, self._plan.max_size, self._plan.secret, write=True)

    def _tail(self, shards: Shards, replica: FollowedReplica, stop: Stop) -> None:
        """Take in changes until it is time to end, or something is amiss."""
        marks = shards.look()
        gone = [shard for shard, mark in enumerate(marks) if mark is None]
        replica.compare(dict(enumerate(marks)))
        self._tell_back(shards, gone)
        audit = Audit(replica, shards, self._plan.audit, time.monotonic)
        with closing(Tail(shards, replica.marks_but(gone), self._plan.clock)) as tail:
            while not stop(0):
                item = tail.next(_ITEM_SECONDS)
                if isinstance(item, Changes):
                    replica.take_in(item)
                elif isinstance(item, Looked):
                    replica.compare(item.marks)
                    replica.note(item)
                    replica.compare(shards.marks_of(gone))
                    for found in audit.go_on():
                        self._counters.diverged(found.taken_in + found.kept)
                        events.replica_diverged(found.shard, found.taken_in, found.kept)
                if item is not None:
                    self._check_served(replica)
                in_step = replica.in_step_at(gone)
                if item is not None and in_step is not None:
                    self._plan.folder.mark_in_step(in_step)

    def _check_served(self, replica: FollowedReplica) -> None:
        """Raise StoreError when what we write to is not what is served: what is served would seem to be in step."""
        if self._plan.folder.current() != replica.folder:
            raise StoreMissingError(f"{replica.folder}: no longer the replica that is served")
        replica.environment.check_current()  # a restored folder has the same name

    def _resync(self, shards: Shards, causes: Mapping[int, Cause], stop: Stop) -> None:
        """Copy all lists anew, beside what is served, and put the copy in its place."""
        cause = next((cause for cause in LOSSES if cause in causes.values()), next(iter(causes.values())))
        previous = self._previous()
        if previous is None:
            shards.look()
            shards.check(range(shards.layout.shards))
            self._check_lacking(shards)
        started, asked_at = time.monotonic(), self._plan.clock()
        events.resync_started(cause, sorted(causes))
        self._plan.folder.tidy()
        version = self._plan.folder.new_version()
        try:
            copy_lists(shards, version, self._plan.secret, self._plan.max_size, previous, self._progress(cause, stop))
        except OriginLackingError as error:
            self._note_lacking(error)
            raise
        finally:
            if previous is not None:
                previous.close()
        with FollowedReplica(self._open(version), shards) as replica:
            # What moved from one shard to another meanwhile may have been copied from neither.
            with suppress(BrokenChainError, HeldUpError):
                replica.catch_up()
                if previous is None:
                    self._check_whole(shards, replica)
            entries, kept = replica.figures()
        self._plan.folder.switch(version)
        if not any(mark is None for mark in shards.marks):
            self._plan.folder.mark_in_step(asked_at)
        self._counters.resync(cause)
        events.resync_done(cause, entries, kept, time.monotonic() - started)

    def _check_lacking(self, shards: Shards) -> None:
        """Spare Redis a copy of all lists that would be as incomplete as the last one. Raises OriginLackingError."""
        if self._lacking is None or time.monotonic() >= self._lacking_until:
            return
        still = [lack for known in self._lacking.lacks if (lack := lacking(shards, known.before, known.found))]
        if still:
            raise OriginLackingError(shards, still)

    def _check_whole(self, shards: Shards, replica: FollowedReplica) -> None:
        """Count once more what was copied while others wrote, who may have hidden a loss. Raises OriginLackingError."""
        replica.catch_up()  # again: little has changed since the first time
        entries, _ = replica.figures()
        lack = lacking(shards, replica.marks_but(()), entries)
        if lack is not None:
            self._note_lacking(error := OriginLackingError(shards, [lack]))
            raise error

    def _note_lacking(self, error: OriginLackingError) -> None:
        self._lacking, self._lacking_until = error, time.monotonic() + _LACKING_SECONDS

    def _previous(self) -> Environment | None:
        try:
            return self._open(self._plan.folder.current())
        except StoreError:
            return None

    def _progress(self, cause: Cause, stop: Stop) -> Progress:
        """Tells how far a copy is, every few seconds, and ends it when it is time."""
        next_word = time.monotonic() + _PROGRESS_EVERY_SECONDS

        def tell(copied: int, entries: int) -> None:
            nonlocal next_word
            if stop(0):
                raise _StoppedError
            if time.monotonic() >= next_word:
                next_word = time.monotonic() + _PROGRESS_EVERY_SECONDS
                events.resync_progress(cause, copied, entries)

        return tell

    def _tell_away(self, error: StoreError) -> None:
        self._counters.origin_up(False)
        if self._told != type(error).__name__:
            self._told = type(error).__name__
            age = self._plan.folder.age(self._plan.clock())
            events.following_interrupted(error, None if age == float("inf") else age)

    def _tell_back(self, shards: Shards, gone: list[int]) -> None:
        if gone:
            self._tell_away(shards.lost(gone[0]))
            return
        self._counters.origin_up(True)
        if self._told != _FOLLOWING:
            self._told = _FOLLOWING
            events.following(shards.client.place)
