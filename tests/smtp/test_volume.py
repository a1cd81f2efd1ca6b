"""Much at once: many recipients in one message, many sessions."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest

from sendgate.entry import Entry
from smtp.arena import Arena
from smtp.script import entry_of
from trial.dialogue import parse
from trial.player import play

pytestmark = pytest.mark.root

RECIPIENTS = 1_000
SESSIONS = 200
MESSAGES = 300


def suppressed(number: int) -> bool:
    return number % 10 == 9


def test_a_thousand_recipients_of_one_message_each_get_their_own_reply(shipped: Arena) -> None:
    numbers = range(RECIPIENTS)
    commands = "".join(f"C> RCPT TO:<user{number}@example.com>\n" for number in numbers)
    replies = "".join(
        f"S: 550 5.7.1 <user{number}@example.com>:\n" if suppressed(number) else "S: 250 2.1.5\n" for number in numbers
    )
    text = (
        "S: 220\nC: EHLO client.test\nS: 250 CHUNKING\nC: MAIL FROM:<bounce+spring@x.test>\nS: 250\n"
        f"{commands}{replies}C: DATA\nS: 354\nC: Subject: test\nC:\nC: text\nC: .\nS: 250 2.0.0\nC: QUIT\nS: 221\n"
    )
    entries: list[Entry] = [
        entry_of(f"hard_bounce user{number}@example.com") for number in numbers if suppressed(number)
    ]
    with shipped.listed(entries):
        play(parse(text), shipped.mta.port)
        counts = {("recipients", "spring", "pass", "none"): 900, ("recipients", "spring", "reject", "hard_bounce"): 100}
        shipped.expect(Counter(counts | {("messages", "spring"): 1}))
        shipped.expect_deliveries(Counter(f"user{number}@example.com" for number in numbers if not suppressed(number)))


def test_two_hundred_sessions_at_once_all_go_right(shipped: Arena) -> None:
    # smtp-source numbers the recipients of a message: user@..., 2user@..., 3user@... (the first has no number)
    command = ["smtp-source", "-A", "-s", str(SESSIONS), "-m", str(MESSAGES), "-r", "5", "-l", "200"]
    envelope = ["-f", "bounce+load@x.test", "-t", "user@example.com", f"127.0.0.1:{shipped.mta.port}"]
    with shipped.listed([entry_of("hard_bounce 3user@example.com")]):
        done = subprocess.run(command + envelope, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        refusals = [line for line in done.stderr.splitlines() if "rejected" in line]
        assert len(refusals) == MESSAGES
        assert all("rejected: 550 5.7.1 <3user@example.com>: recipient suppressed" in line for line in refusals)
        counts = {
            ("recipients", "load", "pass", "none"): 4 * MESSAGES,
            ("recipients", "load", "reject", "hard_bounce"): MESSAGES,
            ("messages", "load"): MESSAGES,
        }
        shipped.expect(Counter(counts))
        shipped.expect_deliveries(Counter({f"{number}user@example.com": MESSAGES for number in ("", 2, 4, 5)}))


def test_swaks_sees_what_the_readme_promises(shipped: Arena) -> None:
    command = ["swaks", "--server", f"127.0.0.1:{shipped.mta.port}", "--from", "bounce+spring-sale@x.test"]
    recipients = ["--to", "anna@example.com,gone@example.com"]
    with shipped.listed([entry_of("hard_bounce gone@example.com")]):
        done = subprocess.run(command + recipients, capture_output=True, text=True, timeout=60)
        assert "<** 550 5.7.1 <gone@example.com>: recipient suppressed: hard_bounce (ref " in done.stdout
        assert done.returncode == 0
        counts = {
            ("recipients", "spring-sale", "pass", "none"): 1,
            ("recipients", "spring-sale", "reject", "hard_bounce"): 1,
            ("messages", "spring-sale"): 1,
        }
        shipped.expect(Counter(counts))
        shipped.expect_deliveries(Counter(["anna@example.com"]))
