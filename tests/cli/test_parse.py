"""`sendgate parse`: messages from files of all kinds, and what is told of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cli.parts import Program

MESSAGES = Path(__file__).resolve().parents[1] / "data" / "feedback" / "messages"


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_each_message_is_a_line_of_json(sendgate: Program) -> None:
    files = [MESSAGES / "qmail.eml", MESSAGES / "not-ordinary.eml"]
    answer = sendgate("parse", *files, "--json")
    bounce, ordinary = rows(answer.out)
    assert answer.status == 0
    assert bounce["file"] == str(files[0])
    (event,) = bounce["events"]
    wanted = {
        "recipient": "anna@example.net",
        "class": "hard",
        "reason": "bad_mailbox",
        "status": "5.1.1",
        "campaign": "spring",
    }
    assert event.items() >= wanted.items()
    assert {"code", "text"} <= event.keys()
    assert ordinary == {"file": str(files[1]), "events": []}


def test_without_json_it_is_for_people(sendgate: Program) -> None:
    answer = sendgate("parse", MESSAGES / "dsn.eml", MESSAGES / "not-ordinary.eml")
    first, second = answer.out.splitlines()
    assert "anna@example.net (hard bad_mailbox; spring) 550 5.1.1" in first
    assert second.endswith("not-ordinary.eml: nothing")


def test_messages_of_an_mbox_are_told_one_by_one(sendgate: Program) -> None:
    mbox = sendgate.folder / "old.mbox"
    letters = [(MESSAGES / f"{name}.eml").read_bytes() for name in ("qmail", "exim")]
    mbox.write_bytes(b"".join(b"From x Thu Mar 12 10:00:00 2026\n" + letter + b"\n" for letter in letters))
    assert [row["file"] for row in rows(sendgate("parse", mbox, "--json").out)] == [f"{mbox}#1", f"{mbox}#2"]


def test_a_folder_is_all_its_messages(sendgate: Program) -> None:
    assert len(rows(sendgate("parse", MESSAGES, "--json").out)) >= len(list(MESSAGES.glob("*.eml")))


def test_stdin_is_read(sendgate: Program) -> None:
    (row,) = rows(sendgate("parse", "-", "--json", stdin=(MESSAGES / "qmail.eml").read_bytes()).out)
    assert (row["file"], row["events"][0]["recipient"]) == ("-", "anna@example.net")


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_read(sendgate: Program) -> None:
    answer = sendgate("parse", "missing.eml", MESSAGES / "qmail.eml", "--json")
    assert answer.status == 2
    assert len(rows(answer.out)) == 1
    assert answer.complaints == ["missing.eml: cannot be read: No such file or directory"]


def test_neither_settings_nor_a_store_are_needed(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENDGATE_")}
    command = [sys.executable, "-m", "sendgate", "parse", str(MESSAGES / "qmail.eml"), "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert len(json.loads(done.stdout)["events"]) == 1


def test_nothing_is_changed(sendgate: Program) -> None:
    sendgate("parse", MESSAGES, "--json")
    assert not sendgate.store.exists()


def test_rules_of_ones_own_that_cannot_be_used_are_told(sendgate: Program) -> None:
    (sendgate.folder / "rules.yaml").write_text("- nonsense")
    sendgate.configure(f"feedback: {{rules_file: '{sendgate.folder}/rules.yaml'}}")
    answer = sendgate("parse", MESSAGES / "qmail.eml")
    assert answer.status == 2
    assert "rules_file" in answer.errors
