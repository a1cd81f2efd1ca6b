"""Following a log: what is saved when, and what becomes of it after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from feedback.parts import GONE, Log
from sendgate.campaign import CampaignResolver
from sendgate.entry import Entry, Reason, parse_subject
from sendgate.feedback import follower
from sendgate.feedback.follower import Follower, Plan
from sendgate.feedback.intake import Edges, Intake
from sendgate.feedback.log.maillog import Record, parse_line
from sendgate.feedback.rules import load_rules
from sendgate.feedback.state import State
from sendgate.keys import Keyer
from sendgate.settings import CampaignSettings
from sendgate.settings_feedback import FeedbackSettings
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.errors import StoreUnreachableError

SIZE = 1 << 24


class Ground:
    """A log, a store, a state; `follower` is a new one that takes up where the last one saved its place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = Log(folder / "maillog")
        self.away = False
        with closing(EmbeddedOrigin(folder / "store", Keyer(), SIZE, {}, write=True, create=True)) as origin:
            origin.apply([])

    def follower(self) -> Follower:
        state = State(self.folder / "feedback")

        @contextmanager
        def lists() -> Iterator[EmbeddedOrigin]:
            if self.away:
                raise StoreUnreachableError("the origin is away")
            with closing(EmbeddedOrigin(self.folder / "store", Keyer(), SIZE, {}, write=True, create=False)) as origin:
                yield origin

        intake = Intake(FeedbackSettings(), state, Edges(lists, lambda _: set(), sees_all=True, tell=False))
        resolver = CampaignResolver(CampaignSettings())
        return Follower(Plan(self.log.path, load_rules(), resolver, state, intake, (StoreUnreachableError,)))

    def fail(self, recipient: str) -> None:
        self.log.deliver(recipient, GONE.format(recipient))

    def rotate(self, number: int) -> None:
        self.log.path.rename(self.folder / f"maillog.2026112{number}-100000")

    def follow(self) -> None:
        follower = self.follower()
        while (batch := follower.read()).position is not None:
            follower.take(batch)

    def strikes(self, recipient: str) -> int:
        with closing(EmbeddedOrigin(self.folder / "store", Keyer(), SIZE, {}, write=False, create=False)) as origin:
            found: list[Entry] = origin.get(parse_subject(recipient))
        return sum(entry.strikes for entry in found if entry.reason is Reason.STRIKE)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_one_killed_before_it_saved_anything_begins_where_it_began_and_not_with_a_newer_file(ground: Ground) -> None:
    ground.fail("gone@example.com")
    ground.follower().read()  # and is killed
    ground.rotate(1)
    ground.fail("late@example.com")
    ground.follow()
    assert (ground.strikes("gone@example.com"), ground.strikes("late@example.com")) == (1, 1)


def test_a_batch_that_was_read_and_not_taken_in_is_read_again(ground: Ground) -> None:
    ground.fail("gone@example.com")
    ground.follow()
    ground.fail("late@example.com")
    ground.follower().read()
    ground.follow()
    assert (ground.strikes("gone@example.com"), ground.strikes("late@example.com")) == (1, 1)


def test_while_the_origin_is_away_the_batch_waits_and_a_stop_loses_nothing(ground: Ground) -> None:
    ground.fail("gone@example.com")
    ground.away, waits = True, []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 4

    ground.follower().run(wait)
    assert waits == [0.5, 1.0, 2.0, 4.0]
    ground.away = False
    ground.follow()
    assert ground.strikes("gone@example.com") == 1


def test_it_ends_when_it_is_told_to_between_two_batches(ground: Ground) -> None:
    ground.fail("gone@example.com")
    ground.follower().run(lambda _seconds: True)
    assert ground.strikes("gone@example.com") == 1


def test_a_message_whose_sender_was_seen_before_the_restart_has_its_campaign(ground: Ground) -> None:
    ground.fail("gone@example.com")
    lines = ground.log.path.read_text().splitlines(keepends=True)
    ground.log.path.write_text("".join(lines[:2]))
    ground.follow()
    with ground.log.path.open("a") as file:
        file.write("".join(lines[2:]))
    ground.follow()
    assert ("bounces", "spring", "bad_mailbox", 1) in State(ground.folder / "feedback").counts()


def test_a_line_that_is_our_own_fault_is_told_and_passed_over(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(line: str, now: float | None = None) -> Record | None:
        if "odd@example.com" in line:
            raise KeyError("odd")
        return parse_line(line, now)

    monkeypatch.setattr(follower, "parse_line", broken)
    ground.fail("odd@example.com")
    ground.fail("gone@example.com")
    with capture_logs() as lines:
        ground.follow()
    assert (ground.strikes("odd@example.com"), ground.strikes("gone@example.com")) == (0, 1)
    assert [line["event"] for line in lines] == ["internal_error"]
