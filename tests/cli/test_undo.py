"""`undo`: what feedback did in some time is taken back, over both origins, hashed or not, and nothing else."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from cli.parts import Program
from sendgate.cli.stores import open_origin
from sendgate.feedback.event import BounceType, Event, EventClass, Source
from sendgate.feedback.policy import Policy
from sendgate.listfile.times import iso
from sendgate.settings import load
from store.parts import shared_server

HOUR, DAY = 3600, 86400
NOW = int(time.time())
OUTAGE = (NOW - 5 * HOUR, NOW - 3 * HOUR)
WITHIN, BEFORE, AFTER = NOW - 4 * HOUR, NOW - 2 * DAY, NOW - HOUR
SINCE = ("--since", iso(OUTAGE[0]), "--until", iso(OUTAGE[1]))


class Feedback:
    """What feedback would do, over the store of the settings."""

    def __init__(self, sendgate: Program) -> None:
        self.sendgate = sendgate

    def happens(self, recipient: str, at: int, kind: str = "bad_mailbox", host: str = "mx.google.com") -> None:
        complaint = kind == "complaint"
        self.take(
            [
                Event(
                    recipient,
                    EventClass.COMPLAINT if complaint else EventClass.SOFT if kind == "full" else EventClass.HARD,
                    None if complaint else BounceType(kind),
                    text=f"550 5.1.1 <{recipient}>: no such user",
                    host=host,
                    queue_id=f"Q{uuid.uuid4().hex[:9]}",
                    at=at,
                    source=Source.COMPLAINT if complaint else Source.LOG,
                )
            ]
        )

    def take(self, events: Iterable[Event]) -> None:
        settings = load(self.sendgate.config, os.environ)
        policy = Policy(settings.feedback)
        with open_origin(settings, create=True) as origin:
            for event in events:
                subject = policy.subject_of(event)
                assert subject is not None
                origin.apply(policy.judge(event, origin.get(subject), NOW, None))

    def held(self) -> dict[tuple[str, str], str | None]:
        """Expiries, by address and reason; a hashed subject is found by its address all the same."""
        entries: dict[tuple[str, str], str | None] = {}
        for name in ("anna", "bert", "carla"):
            told = self.sendgate("explain", f"{name}@example.com", "--json").json
            entries |= {(name, entry["reason"]): entry["expires"] for entry in told["entries"]}
        return entries


@pytest.fixture(params=["embedded", "shared", "embedded hashed", "shared hashed"])
def feedback(request: pytest.FixtureRequest, sendgate: Program) -> Feedback:
    store: dict[str, object] = {"url": f"lmdb://{sendgate.store}"}
    if "shared" in request.param:
        store = {"url": shared_server().url, "prefix": f"test-{uuid.uuid4()}", "shards": 4, "buckets": 64}
    if "hashed" in request.param:
        (sendgate.folder / "secret").write_text("a secret of the test\n")
        store["hash_key_file"] = str(sendgate.folder / "secret")
    sendgate.config.write_text(yaml.safe_dump({"store": store}))
    return Feedback(sendgate)


def outage(feedback: Feedback) -> None:
    """Anna is struck by the outage alone, Bert before it, too, Carla only before and after it."""
    feedback.happens("anna@example.com", WITHIN)
    feedback.happens("bert@example.com", BEFORE)
    feedback.happens("bert@example.com", WITHIN)
    feedback.happens("carla@example.com", BEFORE)
    feedback.happens("carla@example.com", AFTER)


def test_an_outage_is_taken_back_and_all_else_stays(feedback: Feedback) -> None:
    outage(feedback)
    before = feedback.held()
    assert before["bert", "hard_bounce"] is None
    answer = feedback.sendgate("undo", *SINCE)
    assert answer.status == 0
    after = feedback.held()
    assert after.pop(("bert", "hard_bounce")) == iso(BEFORE + 7 * DAY)
    assert after.pop(("bert", "strike")) == iso(BEFORE + 30 * DAY)
    assert after == {key: expiry for key, expiry in before.items() if key[0] == "carla"}
    assert feedback.sendgate("explain", "anna@example.com").status == 0
    again = feedback.sendgate("undo", *SINCE)
    assert again.status == 1
    assert again.out.splitlines()[-3:] == ["removed    0", "shortened  0", "strikes    0"]


def test_a_strike_that_was_taken_back_does_not_count_when_the_next_one_comes(feedback: Feedback) -> None:
    outage(feedback)
    feedback.sendgate("undo", *SINCE)
    feedback.happens("anna@example.com", AFTER)
    assert feedback.held()["anna", "hard_bounce"] == iso(AFTER + 7 * DAY)


def test_a_dry_run_tells_the_same_and_changes_nothing(feedback: Feedback) -> None:
    outage(feedback)
    before = feedback.held()
    tried = feedback.sendgate("undo", *SINCE, "--dry-run", "--json")
    assert tried.status == 0
    assert feedback.held() == before
    done = feedback.sendgate("undo", *SINCE, "--json").json
    assert tried.json.pop("dry_run") is True
    assert sorted_entries(done) == sorted_entries(tried.json)
    assert (done["dry_run"], done["looked_at"]) == (False, 6)
    assert (done["removed"], done["shortened"], done["strikes"]) == (1, 1, 2)
    assert (done["since"], done["until"], done["provider"]) == (iso(OUTAGE[0]), iso(OUTAGE[1]), None)


def test_a_provider_is_taken_back_alone(feedback: Feedback) -> None:
    feedback.happens("anna@example.com", WITHIN, host="alt1.gmail-smtp-in.l.google.com")
    feedback.happens("bert@example.com", WITHIN, host="mx.example.net")
    assert feedback.sendgate("undo", *SINCE, "--provider", "Google.com").status == 0
    assert feedback.held().keys() == {("bert", "hard_bounce"), ("bert", "strike")}
    assert feedback.sendgate("undo", *SINCE, "--provider", "google.com").status == 1


def test_complaints_and_what_people_added_stay(feedback: Feedback) -> None:
    feedback.happens("anna@example.com", WITHIN, "complaint")
    feedback.sendgate("add", "bert@example.com", "--reason", "hard_bounce", "--list", "feedback")
    feedback.sendgate("add", "carla@example.com", "--reason", "hard_bounce")
    before = feedback.held()
    assert feedback.sendgate("undo", "--since", "1d").status == 1
    assert feedback.held() == before


def test_people_read_what_becomes_of_each(feedback: Feedback) -> None:
    outage(feedback)
    lines = feedback.sendgate("undo", *SINCE, "--dry-run").out.splitlines()
    assert sum(line.endswith("(hard_bounce, list feedback, scope *): removed") for line in lines) == 1
    assert sum(line.endswith(f"suppressed until {iso(BEFORE + 7 * DAY)}") for line in lines) == 1
    assert lines[-5:] == [
        "dry run: nothing was changed; without --dry-run this would have been done",
        "looked at  6",
        "removed    1",
        "shortened  1",
        "strikes    2",
    ]


@pytest.mark.parametrize(
    ("ago", "taken"),
    [("6h", True), ("30m", False), (str(NOW - 6 * HOUR), True)],
    ids=["6h", "30m", "a Unix time"],  # no name that depends on the time: processes of a parallel run must agree
)
def test_a_duration_is_so_long_ago(ago: str, taken: bool, sendgate: Program) -> None:
    feedback = Feedback(sendgate)
    feedback.happens("anna@example.com", WITHIN)
    assert (sendgate("undo", "--since", ago).status == 0) is taken


def test_full_mailboxes_and_domains_are_taken_back_too(sendgate: Program) -> None:
    feedback = Feedback(sendgate)
    feedback.happens("anna@example.com", WITHIN, "full")
    for at in (NOW - 4 * DAY, BEFORE, WITHIN):
        feedback.happens("anna@example.com", at, "bad_domain", host="")
    assert feedback.held().keys() == {
        ("anna", "soft_bounce"), ("anna", "strike"),
        ("bert", "invalid_domain"), ("bert", "strike"),
        ("carla", "invalid_domain"), ("carla", "strike"),
        ("anna", "invalid_domain"),
    }  # fmt: skip
    assert sendgate("undo", *SINCE).status == 0
    left = sendgate.exported()
    assert [(entry["subject"], entry["reason"], entry["strikes"]) for entry in left] == [("@example.com", "strike", 2)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--since"),
        (["--since", "yesterday"], "'yesterday' is no time"),
        (["--since", "5 parsecs"], "duration"),
        (["--since", "2099-01-01"], "not between 1970 and now"),
        (["--since", "90000d"], "not between 1970 and now"),
        (["--since", "1h", "--until", "2h"], "--since must be before --until"),
        (["--since", "0s"], "--since must be before now"),
    ],
)
def test_a_time_that_cannot_be_meant_is_told(options: list[str], words: str, sendgate: Program) -> None:
    answer = sendgate("undo", *options)
    assert (answer.status, len(answer.complaints)) == (2, 1)
    assert words in answer.complaints[0]


def test_without_a_store_there_is_nothing_to_take_back_and_none_is_made(sendgate: Program) -> None:
    assert sendgate("undo", "--since", "1h").status == 3
    assert not sendgate.store.exists()


def sorted_entries(told: dict[str, Any]) -> list[str]:
    return sorted(map(repr, told["entries"]))
