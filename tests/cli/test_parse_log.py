"""`parse --log`: a line for each delivery event, and nothing else."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from cli.parts import Program

HEAD = "Nov 22 10:00:00 mx1 postfix"
CLIENT = f"{HEAD}/smtpd[1]: AAAA1: client=app[192.0.2.1], sasl_method=PLAIN, sasl_username=news"
QUEUED = f"{HEAD}/qmgr[1]: AAAA1: from=<bounce+spring+1@example.com>, size=1, nrcpt=2 (queue active)"
BOUNCED = (
    f"{HEAD}/smtp[1]: AAAA1: to=<anna@example.com>, relay=mx.example.com[192.0.2.9]:25, delay=1, delays=0/0/0/1, "
    "dsn=5.1.1, status=bounced (host mx.example.com[192.0.2.9] said: 550 5.1.1 User unknown "
    "(in reply to RCPT TO command))"
)
DEFERRED = (
    f"{HEAD}/smtp[1]: AAAA1: to=<bert@example.com>, relay=none, delay=1, delays=0/0/0/1, dsn=4.4.1, "
    "status=deferred (connect to mx.example.com[192.0.2.9]:25: Connection timed out)"
)
EXPIRED = f"{HEAD}/qmgr[1]: AAAA1: from=<bounce+spring+1@example.com>, status=expired, returned to sender"
REMOVED = f"{HEAD}/qmgr[1]: AAAA1: removed"
PROBE = f"{HEAD}/smtp[1]: AAAA2: to=<anna@example.com>, relay=none, delay=1, dsn=5.1.1, status=undeliverable (no)"
REFUSED = (
    f"{HEAD}/smtpd[1]: NOQUEUE: milter-reject: RCPT from app[192.0.2.1]: 550 5.7.1 <anna@example.com>: recipient "
    "suppressed: hard_bounce (ref 1-2f); from=<n@example.com> to=<anna@example.com> proto=ESMTP helo=<app>"
)
OWN_REPLY = BOUNCED.replace("550 5.1.1 User unknown", "550 5.7.1 <a@b.example>: recipient suppressed: trap (ref 1-2f)")


def told(sendgate: Program, *lines: str, name: str = "-") -> list[dict[str, Any]]:
    answer = sendgate("parse", "--log", "--json", name, stdin="".join(f"{line}\n" for line in lines).encode())
    assert (answer.status, answer.errors) == (0, "")
    return [json.loads(line) for line in answer.out.splitlines()]


def test_each_event_has_its_line_its_fields_and_what_they_mean(sendgate: Program) -> None:
    bounced, deferred = told(sendgate, CLIENT, QUEUED, BOUNCED, DEFERRED, REMOVED)
    assert (bounced["line"], deferred["line"]) == (3, 4)
    assert (bounced["to"], bounced["dsn"], bounced["smtp_code"], bounced["phase"]) == (
        "anna@example.com",
        "5.1.1",
        "550",
        "RCPT TO",
    )
    assert (bounced["class"], bounced["reason"], bounced["campaign"]) == ("hard", "bad_mailbox", "spring")
    assert (deferred["class"], deferred["reason"], deferred["campaign"]) == ("soft", "network", "spring")
    assert bounced["event"] is True


def test_an_expired_message_names_those_who_were_waiting(sendgate: Program) -> None:
    *_, expired = told(sendgate, CLIENT, QUEUED, BOUNCED, DEFERRED, EXPIRED)
    assert (expired["status"], expired["sender"]) == ("expired", "bounce+spring+1@example.com")
    assert expired["recipients"] == ["bert@example.com"]
    assert (expired["class"], expired["reason"], expired["event"]) == ("soft", "expired", True)


def test_an_expired_message_that_was_never_seen_has_a_class_but_is_no_event(sendgate: Program) -> None:
    (expired,) = told(sendgate, EXPIRED)
    assert (expired["recipients"], expired["class"], expired["event"]) == ([], "soft", False)
    assert expired["campaign"] == "spring"


def test_a_probe_is_shown_but_is_no_event(sendgate: Program) -> None:
    (probe,) = told(sendgate, PROBE)
    assert (probe["status"], probe["class"], probe["event"]) == ("undeliverable", "none", False)


def test_the_refusals_of_a_gate_are_not_shown(sendgate: Program) -> None:
    assert told(sendgate, REFUSED, OWN_REPLY) == []


def test_gzipped_logs_are_read_and_messages_go_on_from_one_log_to_the_next(sendgate: Program, tmp_path: Path) -> None:
    first, second = tmp_path / "maillog.1.gz", tmp_path / "maillog"
    first.write_bytes(gzip.compress(f"{CLIENT}\n{QUEUED}\n{DEFERRED}\n".encode()))
    second.write_text(f"{EXPIRED}\n")
    answer = sendgate("parse", "--log", "--json", first, second)
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [(row["file"], row["line"]) for row in rows] == [(str(first), 3), (str(second), 1)]
    assert rows[1]["recipients"] == ["bert@example.com"]


def test_lines_that_are_too_long_keep_the_numbers_of_the_others(sendgate: Program) -> None:
    (bounced,) = told(sendgate, "x" * 3_000_000, "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), BOUNCED)
    assert bounced["line"] == 3


def test_people_read_a_line_for_each_event(sendgate: Program) -> None:
    answer = sendgate("parse", "--log", "-", stdin=f"{BOUNCED}\n{PROBE}\n".encode())
    first, second = answer.out.splitlines()
    assert first == "-:1: anna@example.com bounced (hard bad_mailbox; unknown) 550 5.1.1 User unknown"
    assert second == "-:2: anna@example.com undeliverable (none, no feedback; unknown) no"


def test_a_file_that_cannot_be_read_is_told_after_the_others(sendgate: Program, tmp_path: Path) -> None:
    log, damaged = tmp_path / "maillog", tmp_path / "damaged.gz"
    log.write_text(f"{BOUNCED}\n")
    damaged.write_bytes(gzip.compress(BOUNCED.encode() * 100)[:-20])
    answer = sendgate("parse", "--log", "--json", tmp_path / "none", damaged, log)
    assert answer.status == 2
    assert len(answer.out.splitlines()) == 1
    assert [complaint.split(":")[0] for complaint in answer.complaints] == [str(tmp_path / "none"), str(damaged)]


def test_nothing_is_changed(sendgate: Program) -> None:
    told(sendgate, CLIENT, QUEUED, BOUNCED)
    assert not sendgate.store.exists()
