"""`classify` and `check-rules`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.parts import Program

UNKNOWN = {"reply": "550 5.1.1 User unknown", "smtp_code": "550", "enhanced": "5.1.1", "phase": "RCPT TO"}
RULES = """\
- name: parked
  class: inactive
  because: this provider parks mailboxes
  patterns: ['mailbox parked']
"""


def lines(*values: object) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


@pytest.fixture
def rules(sendgate: Program) -> Path:
    path = sendgate.folder / "rules.yaml"
    path.write_text(RULES)
    return path


def test_every_line_of_json_is_answered_by_a_line_of_json(sendgate: Program) -> None:
    answer = sendgate("classify", "--json", stdin=lines(UNKNOWN, {"reply": "552 mailbox full", "phase": None}))
    assert answer.status == 0
    first, second = map(json.loads, answer.out.splitlines())
    assert first == {
        "line": 1,
        "class": "hard",
        "reason": "bad_mailbox",
        "because": "rule unknown-recipient: says that there is no such recipient, whatever the code",
    }
    assert (second["line"], second["class"], second["reason"]) == (2, "soft", "full")


@pytest.mark.parametrize(
    "extra",
    [{"deferred": True}, {"status": "deferred"}, {"smtp_code": 450}, {"enhanced": "4.1.1"}, {"phase": "mail from"}],
)
def test_what_a_line_says_beside_the_reply_counts(sendgate: Program, extra: dict[str, object]) -> None:
    answer = sendgate("classify", "--json", stdin=lines(UNKNOWN | extra))
    assert json.loads(answer.out)["class"] in ("soft", "block")


def test_plain_lines_are_answered_for_people(sendgate: Program) -> None:
    answer = sendgate("classify", stdin=b"550 5.1.1 User unknown\n\n" + lines({"reply": "450 greylisted"}))
    assert answer.status == 0
    first, second = answer.out.splitlines()
    assert first.split()[:2] == ["hard", "bad_mailbox"]
    assert "550 5.1.1 User unknown  (rule unknown-recipient: " in first
    assert second.split()[:2] == ["soft", "other"]


def test_replies_are_read_from_a_file(sendgate: Program) -> None:
    path = sendgate.folder / "replies.jsonl"
    path.write_bytes(lines(UNKNOWN))
    assert json.loads(sendgate("classify", path, "--json").out)["class"] == "hard"


def test_lines_that_are_no_reply_are_told_after_all_others_were_answered(sendgate: Program) -> None:
    bad = [b"not json\n", b"[]\n", lines({"reply": 7}), lines(UNKNOWN | {"smtp_code": "5"})]
    more = [lines(UNKNOWN | {"phase": "dinner"}), lines(UNKNOWN | {"enhanced": "x"}), b"\xff\n"]
    answer = sendgate("classify", "--json", stdin=b"".join([*bad, *more, lines(UNKNOWN)]))
    assert answer.status == 2
    assert json.loads(answer.out)["line"] == 8
    assert [one.split(": ")[0] for one in answer.complaints] == [f"-:{number}" for number in range(1, 8)]
    assert all("write" in one for one in answer.complaints)


def test_many_bad_lines_are_not_told_one_by_one(sendgate: Program) -> None:
    answer = sendgate("classify", "--json", stdin=b"x\n" * 5_000)
    assert len(answer.complaints) == 101
    assert answer.complaints[-1] == "-: 4,900 more lines like these"


def test_a_missing_file_is_told(sendgate: Program) -> None:
    answer = sendgate("classify", sendgate.folder / "none")
    assert answer.status == 2
    assert "cannot be read" in answer.errors


def test_neither_settings_nor_a_store_are_needed(sendgate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    sendgate.config.unlink()
    monkeypatch.delenv("SENDGATE_CONFIG")
    assert sendgate("classify", "--json", stdin=lines(UNKNOWN)).status == 0


def test_rules_of_the_settings_count(sendgate: Program, rules: Path) -> None:
    sendgate.configure(f"feedback: {{rules_file: '{rules}'}}")
    answer = sendgate("classify", "--json", stdin=lines({"reply": "550 mailbox parked"}))
    assert json.loads(answer.out)["because"] == "rule parked: this provider parks mailboxes"


def test_rules_with_mistakes_are_refused_by_classify(sendgate: Program, rules: Path) -> None:
    rules.write_text(RULES.replace("inactive", "gone"))
    sendgate.configure(f"feedback: {{rules_file: '{rules}'}}")
    answer = sendgate("classify", "--json", stdin=lines(UNKNOWN))
    assert answer.status == 2
    assert f"feedback.rules_file: {rules}:2: gone: is no class" in answer.errors


def test_good_rules_are_counted(sendgate: Program, rules: Path) -> None:
    answer = sendgate("check-rules", rules)
    assert answer.status == 0
    assert answer.out.startswith(f"ok; {rules}: 1 rules, before ")
    assert sendgate("check-rules", rules, "--json").json == {"ok": True, "file": str(rules), "rules": 1}


def test_without_rules_of_ones_own_that_is_told(sendgate: Program) -> None:
    answer = sendgate("check-rules")
    assert answer.status == 0
    assert "feedback.rules_file is not set" in answer.out


def test_rules_of_the_settings_are_checked(sendgate: Program, rules: Path) -> None:
    sendgate.configure(f"feedback: {{rules_file: '{rules}'}}")
    assert str(rules) in sendgate("check-rules").out


def test_all_mistakes_in_rules_are_told(sendgate: Program, rules: Path) -> None:
    rules.write_text(RULES.replace("inactive", "gone").replace("mailbox parked", "(a+)+"))
    answer = sendgate("check-rules", rules)
    assert answer.status == 2
    assert [one.split(": ")[0] for one in answer.complaints] == [f"{rules}:2", f"{rules}:4"]
    told = sendgate("check-rules", rules, "--json").json
    assert told["ok"] is False
    assert len(told["problems"]) == 2


def test_the_rule_that_decides_on_a_reply_is_told(sendgate: Program, rules: Path) -> None:
    answer = sendgate("check-rules", rules, "--reply", "550 Mailbox parked")
    assert "(rule parked: this provider parks mailboxes)" in answer.out
    told = sendgate("check-rules", rules, "--reply", "550 User unknown", "--json").json
    assert told["verdict"]["reason"] == "bad_mailbox"
