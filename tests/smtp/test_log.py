"""The log: one JSON line for each recipient that did not simply pass, with or without clear addresses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from smtp.arena import Arena
from smtp.script import read

pytestmark = pytest.mark.root

DIALOGUE = """# Shows: what the log is asked about here
# Settings: {settings}
# Listed: hard_bounce list=bounces gone@example.com
# Listed: trap trap@gmail.com
# Counted: spring reject hard_bounce 1
# Counted: spring reject trap 1
# Counted: spring reject bad_address 1
# Counted: spring pass none 1
# Traps: spring 1
S: 220
C: EHLO client.test
S: 250 CHUNKING
C: MAIL FROM:<bounce+spring=1@x.test>
S: 250
C: RCPT TO:<"Gone"@example.com>
S: 550
C: RCPT TO:<anna@example.com>
S: 250
C: RCPT TO:<t.rap+x@gmail.com>
S: 550
C! RCPT TO:<hid\\x01den@example.com>
S: 553
C: QUIT
S: 221
"""


def test_a_refusal_is_one_line_with_all_that_explain_needs(arena_of: Callable[[str], Arena]) -> None:
    arena = arena_of("shipped")
    arena.play(read(DIALOGUE.format(settings="shipped")))
    refusal, *_ = [line for line in arena.log_since() if line["event"] == "recipient"]
    time = datetime.fromisoformat(refusal.pop("time"))
    assert abs((datetime.now(UTC) - time).total_seconds()) < 60
    reference = refusal.pop("ref")
    assert refusal.pop("reply") == (
        f'550 5.7.1 <"Gone"@example.com>: recipient suppressed: hard_bounce (ref {reference})'
    )
    assert refusal == {
        "event": "recipient",
        "level": "info",
        "decision": "reject",
        "campaign": "spring",
        "cause": "entry",
        "reason": "hard_bounce",
        "list": "bounces",
        "scope": "*",
        "recipient": '<"Gone"@example.com>',
    }


def test_no_line_tells_of_a_plain_pass(arena_of: Callable[[str], Arena]) -> None:
    arena = arena_of("shipped")
    arena.play(read(DIALOGUE.format(settings="shipped")))
    assert len(arena.log_since()) == 3
    assert "anna" not in str(arena.log_since())


def test_with_a_hash_key_no_address_is_in_the_log_nor_in_the_store(arena_of: Callable[[str], Arena]) -> None:
    arena = arena_of("hashed")
    arena.play(read(DIALOGUE.format(settings="hashed")))
    judged = [line for line in arena.log_since() if line["event"] == "recipient"]
    assert len(judged) == 3
    assert all("ref" in line or line["cause"] == "bad_address" for line in judged)
    stored = (arena.gate.store / "data.mdb").read_bytes()
    for text in ("gone", "trap@", "t.rap", "example.com", "gmail", "hid"):
        assert text not in arena.gate.log_text().lower()
        assert text.encode() not in stored
