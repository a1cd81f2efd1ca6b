"""`sendgate ingest`: bounces, complaints and logs that are files, or come by a pipe."""

from __future__ import annotations

import gzip
import json
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from cli.parts import Program
from feedback.parts import BOUNCE, Log

SECRET = b"0123456789abcdef"


@pytest.fixture
def feedback(sendgate: Program) -> Program:
    """The command line with a store, a state and a secret."""
    (sendgate.folder / "verp.key").write_bytes(SECRET)
    sendgate.configure(f"feedback: {{state: '{sendgate.folder}/state', verp_key_file: '{sendgate.folder}/verp.key'}}\n")
    assert sendgate("add", "someone@example.org", "--reason", "manual").status == 0
    return sendgate


def bounce(sendgate: Program, recipient: str, *, signed: bool = True, at: float | None = None) -> str:
    sender = "bounce+spring@example.net"
    if signed:
        sender = sendgate("verp", "sign", "--campaign", "spring", "--domain", "example.net", recipient).out.strip()
    date = f"Date: {formatdate(time.time() if at is None else at)}\n"
    return date + BOUNCE.format(sender=sender, recipient=recipient)


def hard(sendgate: Program) -> list[str]:
    return sendgate.subjects("--reason", "hard_bounce")


def test_a_signed_bounce_becomes_an_entry(feedback: Program) -> None:
    path = feedback.folder / "bounce.eml"
    path.write_text(bounce(feedback, "gone@example.com"))
    answer = feedback("ingest", path)
    assert answer.status == 0, answer.errors
    assert hard(feedback) == ["gone@example.com"]
    assert " ".join(answer.out.split()) == "messages 1 without events 0 believed 1 not believed 0 verp 1"


def test_an_unsigned_bounce_changes_nothing(feedback: Program) -> None:
    path = feedback.folder / "bounce.eml"
    path.write_text(bounce(feedback, "gone@example.com", signed=False))
    answer = feedback("ingest", path, "--json")
    assert answer.status == 0
    [event] = json.loads(answer.out.splitlines()[-1])["events"]
    assert (event["recipient"], event["class"], event["believed"], event["why"]) == (
        "gone@example.com",
        "hard",
        False,
        "unsigned",
    )
    assert hard(feedback) == []


def test_what_an_operator_vouches_for_is_believed(feedback: Program) -> None:
    path = feedback.folder / "old.mbox"
    messages = [bounce(feedback, f"user{number}@example.com", signed=False) for number in range(3)]
    path.write_text("".join(f"From MAILER-DAEMON Sun Nov 22 10:00:00 2026\n{message}\n" for message in messages))
    assert feedback("ingest", "--trusted", path).status == 0
    assert hard(feedback) == [f"user{number}@example.com" for number in range(3)]


def test_a_dry_run_changes_nothing(feedback: Program) -> None:
    path = feedback.folder / "bounce.eml"
    path.write_text(bounce(feedback, "gone@example.com"))
    answer = feedback("ingest", "--dry-run", path)
    assert answer.status == 0
    assert "believed        1" in answer.out
    assert hard(feedback) == []
    assert feedback("ingest", path).status == 0
    assert hard(feedback) == ["gone@example.com"]


def test_the_same_message_again_is_no_second_strike(feedback: Program) -> None:
    path = feedback.folder / "bounce.eml"
    path.write_text(bounce(feedback, "gone@example.com"))
    for _ in range(2):
        assert feedback("ingest", path).status == 0
    assert [entry["strikes"] for entry in feedback.exported("--reason", "strike")] == [1]


def test_a_bounce_of_long_ago_suppresses_nobody_now(feedback: Program) -> None:
    path = feedback.folder / "bounce.eml"
    path.write_text(bounce(feedback, "gone@example.com", at=time.time() - 10 * 86400))
    assert feedback("ingest", path).status == 0
    assert hard(feedback) == []
    assert feedback.subjects("--reason", "strike") == ["gone@example.com"]


def test_a_message_by_a_pipe_is_taken_in_silently(feedback: Program) -> None:
    message = bounce(feedback, "gone@example.com").encode()
    answer = feedback("ingest", "--pipe", "--recipient", "bounce+spring@example.net", "-", stdin=message)
    assert answer.status == 0
    assert answer.errors == ""
    assert hard(feedback) == ["gone@example.com"]


@pytest.mark.parametrize(
    "broken",
    ["store: {url: 'lmdb:///nowhere/to/be/found'}", "store: {url: 5}", "feedback: {verp_key_file: /nowhere}"],
)
def test_a_message_by_a_pipe_that_cannot_be_taken_in_is_to_come_again(feedback: Program, broken: str) -> None:
    message = bounce(feedback, "gone@example.com").encode()
    feedback.config.write_text(
        f"feedback: {{state: '{feedback.folder}/state', verp_key_file: '{feedback.folder}/verp.key'}}\n{broken}\n"
        if broken.startswith("store")
        else broken
    )
    answer = feedback("ingest", "--pipe", "-", stdin=message)
    assert answer.status == 75
    assert answer.complaints


def test_a_store_that_is_not_there_is_status_3_and_nothing_is_known(feedback: Program) -> None:
    path = feedback.folder / "bounce.eml"
    path.write_text(bounce(feedback, "gone@example.com"))
    feedback.store.rename(feedback.folder / "away")
    assert feedback("ingest", path).status == 3
    (feedback.folder / "away").rename(feedback.store)
    assert feedback("ingest", path).status == 0
    assert hard(feedback) == ["gone@example.com"]


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_taken_in(feedback: Program) -> None:
    path = feedback.folder / "bounce.eml"
    path.write_text(bounce(feedback, "gone@example.com"))
    answer = feedback("ingest", feedback.folder / "missing.eml", path)
    assert answer.status == 2
    assert any("missing.eml" in complaint for complaint in answer.complaints)
    assert hard(feedback) == ["gone@example.com"]


def test_a_log_is_taken_in_once(feedback: Program, tmp_path: Path) -> None:
    log = Log(tmp_path / "maillog")
    log.deliver("anna@example.com")
    log.deliver("gone@example.com", "550 5.1.1 <gone@example.com>: User unknown")
    packed = tmp_path / "maillog.20261122-100000.gz"
    packed.write_bytes(gzip.compress(log.path.read_bytes()))
    first = feedback("ingest", "--log", "--json", packed)
    assert first.status == 0, first.errors
    assert first.json == {"dry_run": False, "lines": 8, "sent": 1, "hard": 1, "entries": 1}
    assert hard(feedback) == ["gone@example.com"]
    assert feedback("ingest", "--log", log.path, "--json").json["entries"] == 0
    assert [entry["strikes"] for entry in feedback.exported("--reason", "strike")] == [1]


def test_a_dry_run_of_a_log_changes_nothing(feedback: Program, tmp_path: Path) -> None:
    log = Log(tmp_path / "maillog")
    log.deliver("gone@example.com", "550 5.1.1 <gone@example.com>: User unknown")
    answer = feedback("ingest", "--log", "--dry-run", "--json", log.path)
    assert answer.json == {"dry_run": True, "lines": 4, "hard": 1}
    assert hard(feedback) == []
