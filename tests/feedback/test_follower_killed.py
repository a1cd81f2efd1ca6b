"""The process that follows the log, killed again and again: every strike is there once, every event is counted once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType

import pytest

from faults.parts import events
from feedback.history import CAMPAIGNS, History, Truth
from feedback.world import World
from sendgate.cli import feedback_parts, stores
from sendgate.entry import Entry, Reason
from sendgate.settings import Settings, load
from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

pytestmark = pytest.mark.timeout(300)
PATIENCE = 60
SEED = 20_260_301
KILLS = 50
WRITTEN = 1000
"""Messages that must have been written meanwhile."""


class Followers:
    """Followers of one gate's log, one at a time, in processes that can be killed. Context manager."""

    def __init__(self, gate: Gate) -> None:
        command = [sys.executable, "-m", "feedback.follow_child", str(gate.config)]
        paths = os.pathsep.join(path for path in sys.path if path)
        self._parent = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
            start_new_session=True,
        )

    def __enter__(self) -> Followers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parent.communicate(timeout=PATIENCE)

    def start(self, command: str = "run") -> int:
        """Start one; returns its process id."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(command + "\n")
        self._parent.stdin.flush()
        return int(self._line())

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> None:
        """Wait until the one that was started is gone."""
        assert self._line() == "ended"

    def _line(self) -> str:
        assert self._parent.stdout is not None
        line = self._parent.stdout.readline().strip()
        assert line, f"the parent of the followers ended: {self._parent.wait(PATIENCE)}"
        return line


@pytest.fixture(params=["embedded", "shared"])
def gate(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gate]:
    """A gate's settings and lists; it does not run."""
    with ExitStack() as stack:
        store = {}
        if request.param == "shared":
            server = stack.enter_context(RedisServer(tmp_path))
            store = {"url": server.url, "shards": 4, "buckets": 64}
        # a made-up history has more failures than any provider's past explains
        feedback = {"log": str(tmp_path / "maillog"), "breaker_volume": 10**9}
        made = Gate({"store": store, "feedback": feedback})
        stack.callback(made.remove)
        made.make_store()
        yield made


@pytest.fixture
def followers(gate: Gate) -> Iterator[Followers]:
    with Followers(gate) as running:
        yield running


def settings_of(gate: Gate) -> Settings:
    return load(gate.config, {})


def counted(gate: Gate) -> dict[tuple[str, str, str], int]:
    """What was counted, by metric, campaign and label."""
    with closing(feedback_parts.open_state(settings_of(gate))) as state:
        return {(metric, campaign, label): value for metric, campaign, label, value in state.counts()}


def entries_of(gate: Gate) -> dict[Reason, dict[str, Entry]]:
    """The entries of feedback, by reason and subject."""
    found: dict[Reason, dict[str, Entry]] = defaultdict(dict)
    with stores.open_origin(settings_of(gate), create=False) as origin:
        for entry in origin.scan():
            assert entry.subject.text not in found[entry.reason]
            found[entry.reason][entry.subject.text] = entry
    return found


def follow_to_the_end(gate: Gate, followers: Followers, truth: Truth) -> None:
    """Follow undisturbed until all that the log says was counted."""
    pid = followers.start()
    expected = truth.deliveries.total()

    def done() -> bool:
        return sum(value for (metric, _, _), value in counted(gate).items() if metric == "deliveries") >= expected

    try:
        wait_until(done, PATIENCE, f"{expected} deliveries are counted")
    finally:
        followers.kill(pid)


def assert_exactly(gate: Gate, truth: Truth) -> None:
    """The lists and the counts are what the log says, neither less nor more."""
    counts = counted(gate)
    for metric, expected in (("deliveries", truth.deliveries), ("bounces", truth.bounces)):
        got = {(campaign, label): value for (name, campaign, label), value in counts.items() if name == metric}
        assert got == dict(expected)
    entries = entries_of(gate)
    strikes = {subject: entry.strikes for subject, entry in entries[Reason.STRIKE].items() if entry.strikes}
    assert strikes == {recipient: len(kinds) for recipient, kinds in truth.strikes.items() if kinds}
    hard = entries[Reason.HARD_BOUNCE]
    assert set(hard) == truth.provisional
    assert {subject for subject, entry in hard.items() if entry.expires is None} == truth.permanent
    assert {campaign for _, campaign, _ in counts if campaign} == set(CAMPAIGNS)


def kill_at_random(followers: Followers, history: History, kills: int, chance: random.Random) -> Counter[str]:
    """Start and kill followers while the history goes on. Returns how they died."""
    died: Counter[str] = Counter()
    pause = threading.Event()
    while died.total() < kills or history.messages < WRITTEN:
        way = chance.choice(["killed", "die before", "die after"])
        died[way] += 1
        if way == "killed":
            pid = followers.start()
            pause.wait(chance.random() * 0.08)
            followers.kill(pid)
        else:
            followers.start(f"{way} {chance.randint(1, 3)}")
            followers.wait()
    return died


@pytest.mark.parametrize("rotate_every", [0, 150], ids=["one-file", "rotated"])
def test_followers_killed_at_any_point_lose_and_double_nothing(
    gate: Gate, followers: Followers, tmp_path: Path, rotate_every: int
) -> None:
    with History(tmp_path / "maillog", SEED + rotate_every) as history:
        followers.start("die after 1")  # only from its first batch on it knows where it began
        followers.wait()
        history.rotate_every = rotate_every
        died = kill_at_random(followers, history, KILLS, random.Random(SEED))
        history.stop()
    follow_to_the_end(gate, followers, history.truth)
    assert_exactly(gate, history.truth)
    assert min(died.values()) >= 10
    assert len(died) == 3


def test_a_log_that_is_read_again_from_its_beginning_counts_no_strike_twice(
    gate: Gate, followers: Followers, tmp_path: Path
) -> None:
    with History(tmp_path / "maillog", SEED, pause_seconds=0.001) as history:
        wait_until(lambda: history.messages >= 500, PATIENCE, "a history")
    follow_to_the_end(gate, followers, history.truth)
    strikes = entries_of(gate)[Reason.STRIKE]
    for path in Path(settings_of(gate).feedback.state).iterdir():
        path.unlink()
    follow_to_the_end(gate, followers, history.truth)
    assert entries_of(gate)[Reason.STRIKE].keys() == strikes.keys()
    permanent = {subject for subject, entry in entries_of(gate)[Reason.HARD_BOUNCE].items() if entry.expires is None}
    assert permanent == history.truth.permanent


def feedback_pid(gate: Gate) -> int:
    """The process that follows the log; 0 while there is none."""
    started = [line["pid"] for line in events(gate, "process_started") if line["process"] == "feedback"]
    return started[-1] if started and started[-1] in gate.child_pids() else 0


@pytest.mark.root
def test_a_gate_whose_follower_is_killed_while_postfix_sends_counts_each_failure_once(world: World) -> None:
    sent = [f"unknown-killed{number}@example{number}.com" for number in range(40)]
    chance = random.Random(SEED)
    for number, recipient in enumerate(sent):
        world.send(recipient, "killed")
        if not number % 8:
            threading.Event().wait(chance.random() * 0.05)
            os.kill(wait_until(lambda: feedback_pid(world.gate), PATIENCE, "it follows"), signal.SIGKILL)
    for recipient in sent:
        world.wait_until_refused(recipient)
    world.settle()
    assert world.deliveries("bounced", "killed") == len(sent)
    assert world.bounces("bad_mailbox", "killed") == len(sent)
    assert world.bounces(campaign="killed") == len(sent)
    found = entries_of(world.gate)[Reason.STRIKE]
    assert [found[recipient].strikes for recipient in sent] == [1] * len(sent)
