"""Lines of Postfix's log: what they say, and who may say it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from sendgate.feedback.log.maillog import Delivery, Expired, Opened, Queued, Removed, parse_line
from sendgate.feedback.log.stamps import unix_time

HEAD = "Nov 22 10:00:00 mx1 postfix/smtp[4711]: 4fK0001SMfQzMfQ: "
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()


def delivery(line: str) -> Delivery:
    found = parse_line(line, NOW)
    assert isinstance(found, Delivery), line
    return found


def fields(rest: str) -> dict[str, object]:
    return delivery(HEAD + rest).as_object()


def test_a_delivery_has_all_its_fields() -> None:
    line = (
        "Nov 22 10:00:00 mx1 postfix/smtp[4711]: 4fK0001SMfQzMfQ: to=<anna@example.com>, orig_to=<an@example.com>, "
        "relay=mx.example.com[192.0.2.25]:25, conn_use=3, delay=0.41, delays=0.19/0/0.19/0.03, tls=dane/requiretls, "
        "dsn=5.1.1, status=bounced (host mx.example.com[192.0.2.25] said: 550-5.1.1 No such user 550 5.1.1 here "
        "(in reply to RCPT TO command))"
    )
    assert delivery(line).as_object() == {
        "timestamp": "Nov 22 10:00:00",
        "host": "mx1",
        "program": "postfix",
        "daemon": "smtp",
        "pid": 4711,
        "queue_id": "4fK0001SMfQzMfQ",
        "to": "anna@example.com",
        "orig_to": "an@example.com",
        "relay": "mx.example.com[192.0.2.25]:25",
        "relay_host": "mx.example.com",
        "relay_ip": "192.0.2.25",
        "relay_port": "25",
        "delay": "0.41",
        "dsn": "5.1.1",
        "status": "bounced",
        "text": "host mx.example.com[192.0.2.25] said: 550-5.1.1 No such user 550 5.1.1 here "
        "(in reply to RCPT TO command)",
        "remote_host": "mx.example.com",
        "remote_ip": "192.0.2.25",
        "reply": "550-5.1.1 No such user 550 5.1.1 here",
        "smtp_code": "550",
        "enhanced": "5.1.1",
        "phase": "RCPT TO",
        "refused": False,
        "suspended": False,
    }


def test_fields_that_a_line_does_not_have_are_absent() -> None:
    found = fields("to=<anna@example.com>, relay=none, delay=1, status=deferred (connect to x[192.0.2.1]: timed out)")
    assert found.keys() == {
        *("timestamp", "host", "program", "daemon", "pid", "queue_id"),
        *("to", "relay", "delay", "status", "text"),
    }


@pytest.mark.parametrize(
    ("stamp", "program", "daemon", "queue_id"),
    [
        ("Nov  2 10:00:00", "postfix", "lmtp", "9C37E404B379"),
        ("Nov 2 10:00:00", "postfix-out", "smtp", "0A1B2C"),
        ("Nov 02 10:00:00", "postfix/relay", "smtp", "4Rfx0w5gWLz2ZqT"),
        ("2026-11-02T10:00:00.123456+01:00", "postfix", "local", "4Rfx0w5gWLz2ZqT"),
        ("2026-11-02T10:00:00Z", "postfix", "virtual", "9C37E404B379"),
        ("2026-11-02T10:00:00+0100", "postfix", "pipe", "9C37E404B379"),
        ("<22>Nov  2 10:00:00", "postfix", "error", "9C37E404B379"),
    ],
)
def test_stamps_programs_and_queue_ids_of_every_kind_are_read(
    stamp: str, program: str, daemon: str, queue_id: str
) -> None:
    line = f"{stamp} mx1 {program}/{daemon}[1]: {queue_id}: to=<a@example.com>, relay=none, delay=0, status=sent (ok)"
    head = delivery(line).head
    assert (head.timestamp, head.program, head.daemon) == (stamp.removeprefix("<22>"), program, daemon)
    assert (head.queue_id, head.pid) == (queue_id, 1)


@pytest.mark.parametrize(
    ("relay", "parts"),
    [
        ("mx.example.com[2001:db8::25]:25", ("mx.example.com", "2001:db8::25", "25")),
        ("mx.example.com[192.0.2.25]", ("mx.example.com", "192.0.2.25", None)),
        ("mail.example.com[private/dovecot-lmtp]", ("mail.example.com", "private/dovecot-lmtp", None)),
        ("local", None),
    ],
)
def test_the_next_hop_is_taken_apart(relay: str, parts: tuple[str, str, str | None] | None) -> None:
    line = f"{HEAD}to=<a@example.com>, relay={relay}, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok)"
    assert delivery(line).relay_parts() == parts


@pytest.mark.parametrize("status", ["sent", "deferred", "bounced", "deliverable", "undeliverable", "SOFTBOUNCE"])
def test_every_status_of_a_recipient_is_read(status: str) -> None:
    assert fields(f"to=<a@example.com>, relay=none, delay=0, dsn=4.0.0, status={status} (x)")["status"] == status


@pytest.mark.parametrize("how", ["expired", "force-expired"])
def test_an_expired_message_has_a_sender_and_no_recipient(how: str) -> None:
    line = (
        f"Nov 22 10:00:00 mx1 postfix/qmgr[1]: 9C37E404B379: from=<news@example.com>, status={how}, returned to sender"
    )
    found = parse_line(line, NOW)
    assert isinstance(found, Expired)
    shown = found.as_object()
    assert (shown["sender"], shown["status"], shown["queue_id"]) == ("news@example.com", "expired", "9C37E404B379")
    assert not shown.keys() & {"to", "text", "relay"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "host mx.example.com[192.0.2.1] refused to talk to me: 554 5.7.1 You are listed",
            {"refused": True, "suspended": False, "reply": "554 5.7.1 You are listed", "smtp_code": "554"},
        ),
        (
            "delivery temporarily suspended: host mx.example.com[192.0.2.1] refused to talk to me: 421 4.7.0 Slow down",
            {"refused": True, "suspended": True, "smtp_code": "421", "enhanced": "4.7.0"},
        ),
        (
            "delivery temporarily suspended: host mx.example.com[192.0.2.1] said: 451 Not now "
            "(in reply to MAIL FROM command)",
            {"suspended": True, "phase": "MAIL FROM", "reply": "451 Not now"},
        ),
        (
            "host a.example[192.0.2.1] said: 550 5.1.1 host b.example[192.0.2.2] said: 552 5.2.2 full "
            "(in reply to RCPT TO command) (in reply to end of DATA command)",
            {"remote_host": "a.example", "smtp_code": "550", "enhanced": "5.1.1", "phase": "end of DATA"},
        ),
        (
            "host a.example[192.0.2.1] said: 550 call (02) 1234 :-( (in reply to RCPT TO command)",
            {"reply": "550 call (02) 1234 :-(", "phase": "RCPT TO"},
        ),
    ],
)
def test_answers_of_every_manner_are_read(text: str, expected: dict[str, object]) -> None:
    found = fields(f"to=<a@example.com>, relay=none, delay=0, delays=0/0/0/0, dsn=4.0.0, status=deferred ({text})")
    assert found["text"] == text
    assert expected.items() <= found.items()


@pytest.mark.parametrize(
    "text",
    [
        "connect to mx.example.com[192.0.2.1]:25: Connection timed out",
        "delivery temporarily suspended: lost connection with mx.example.com[192.0.2.1] while sending RCPT TO",
        "Host or domain name not found. Name service error for name=x.example type=MX: Host not found, try again",
    ],
)
def test_what_postfix_says_itself_is_no_answer_of_a_server(text: str) -> None:
    found = fields(f"to=<a@example.com>, relay=none, delay=0, delays=0/0/0/0, dsn=4.4.1, status=deferred ({text})")
    assert not found.keys() & {"reply", "remote_host", "smtp_code", "phase", "refused", "suspended"}


@pytest.mark.parametrize(
    ("written", "recipient"),
    [
        ('<"a, relay=none, status=bounced (x)"@example.com>', '"a, relay=none, status=bounced (x)"@example.com'),
        ('<"a>, relay=none"@example.com>', '"a>, relay=none"@example.com'),
        ('<"a \\" b (c)"@example.com>', '"a \\" b (c)"@example.com'),
        ("<a b@example.com>", "a b@example.com"),
        ('<a"b@example.com>', 'a"b@example.com'),
        ("anna@example.com", "anna@example.com"),
        ("<>", ""),
    ],
)
def test_a_recipient_is_read_up_to_its_own_end(written: str, recipient: str) -> None:
    line = (
        f"{HEAD}to={written}, relay=mx.example.com[192.0.2.1]:25, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (ok)"
    )
    found = delivery(line)
    assert (found.to, found.relay, found.status) == (recipient, "mx.example.com[192.0.2.1]:25", "sent")


def test_a_servers_answer_cannot_pass_for_another_line() -> None:
    forged = (
        "550 no), dsn=2.0.0, status=sent (250 ok) Nov 22 10:00:00 mx1 postfix/smtp[1]: 4fK: "
        "to=<victim@example.com>, relay=none, delay=0, dsn=5.1.1, status=bounced (x"
    )
    found = delivery(
        f"{HEAD}to=<a@example.com>, relay=mx[192.0.2.1]:25, delay=0, delays=0/0/0/0, dsn=4.0.0, "
        f"status=deferred (host mx[192.0.2.1] said: {forged} (in reply to RCPT TO command))"
    )
    assert (found.to, found.status, found.dsn) == ("a@example.com", "deferred", "4.0.0")
    remote = found.remote()
    assert remote is not None
    assert (remote.reply, remote.phase) == (forged, "RCPT TO")


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("(250 2.0.0 Ok) 257", "250 2.0.0 Ok"),
        ("(250 2.0.0 Ok (queued) as 1) ", "250 2.0.0 Ok (queued) as 1"),
        ("(250 2.0.0 Ok (queued) as", "250 2.0.0 Ok (queued) as"),
        ("(250 2.0.0 Ok", "250 2.0.0 Ok"),
        ("()", ""),
    ],
)
def test_a_text_ends_where_it_is_closed_or_cut_off(end: str, text: str) -> None:
    assert delivery(f"{HEAD}to=<a@example.com>, relay=none, delay=0, dsn=2.0.0, status=sent {end}").text == text


def test_a_line_that_is_cut_off_before_its_status_is_nothing() -> None:
    line = f"{HEAD}to=<a@example.com>, relay=mx[192.0.2.1]:25, delay=0, delays=0/0/0/0, dsn=5.1.1, status=bounced (no)"
    whole = [length for length in range(len(line)) if parse_line(line[:length], NOW) is not None]
    assert whole == list(range(line.index("bounced") + len("bounced"), len(line)))


@pytest.mark.parametrize(
    "line",
    [
        "postfix/smtpd[1]: NOQUEUE: milter-reject: RCPT from x[192.0.2.1]: 550 5.7.1 <a@example.com>: recipient "
        "suppressed: hard_bounce (ref 1-2); from=<n@example.com> to=<a@example.com> proto=ESMTP helo=<x>",
        "postfix/smtpd[1]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 550 5.1.1 <a@example.com>: no; to=<a@example.com>",
        "postfix/cleanup[1]: 9C37E404B379: milter-reject: END-OF-MESSAGE from x[192.0.2.1]: no; to=<a@example.com>",
        "postfix/cleanup[1]: 9C37E404B379: warning: header Subject: x: to=<a@example.com>, relay=none, delay=0, "
        "dsn=5.1.1, status=bounced (x) from local; from=<n@example.com>",
        "postfix/cleanup[1]: 9C37E404B379: message-id=<to=<a@example.com>, status=bounced (x)@example.com>",
        "postfix/smtp[1]: warning: to=<a@example.com>, relay=none, delay=0, dsn=5.1.1, status=bounced (x)",
        "postfix/smtp[1]: 9C37E404B379: host mx[192.0.2.1] said: 450 4.2.0 to=<a@example.com>, status=bounced (x)",
        "postfix/smtpd[1]: 9C37E404B379: to=<a@example.com>, relay=none, delay=0, dsn=5.1.1, status=bounced (x)",
        "postfix/bounce[1]: 9C37E404B379: sender non-delivery notification: 9C37E404B380",
        "postfix/qmgr[1]: 9C37E404B379: from=<a@example.com>, status=bounced (x)",
        "postfix/smtp[1]: Trusted TLS connection established to mx[192.0.2.1]:25: TLSv1.3",
        "myapp[1]: 9C37E404B379: to=<a@example.com>, relay=none, delay=0, dsn=5.1.1, status=bounced (x)",
        "mailer/smtp[1]: 9C37E404B379: to=<a@example.com>, relay=none, delay=0, dsn=5.1.1, status=bounced (x)",
        "logger: copied postfix/smtp[1]: 9C37E404B379: to=<a@example.com>, relay=none, delay=0, status=bounced (x)",
        "postfix/smtp[1]: 9C37E404B379: to=<a@example.com>, relay=none, delay=0, status=invented (x)",
    ],
)
def test_lines_that_tell_of_no_delivery_are_nothing(line: str) -> None:
    assert parse_line(f"Nov 22 10:00:00 mx1 {line}", NOW) is None


@pytest.mark.parametrize(
    ("line", "login"),
    [
        ("client=app[192.0.2.1], sasl_method=PLAIN, sasl_username=news@example.com", "news@example.com"),
        ("client=app[192.0.2.1], sasl_method=PLAIN, sasl_username=news, sasl_sender=x@example.com", "news"),
        ("client=app[192.0.2.1], sasl_method=PLAIN, sasl_username=news, orig_queue_id=1, orig_client=x", "news"),
        ("client=unknown[192.0.2.1]", ""),
    ],
)
def test_a_client_gives_its_login(line: str, login: str) -> None:
    found = parse_line(f"Nov 22 10:00:00 mx1 postfix/submission/smtpd[1]: 9C37E404B379: {line}", NOW)
    assert found == Opened("9C37E404B379", login)


def test_local_mail_comes_in_without_a_login() -> None:
    line = "Nov 22 10:00:00 mx1 postfix/pickup[1]: 9C37E404B379: uid=0 from=<root>"
    assert parse_line(line, NOW) == Opened("9C37E404B379", "")


def test_a_queued_message_has_its_sender_and_its_recipients() -> None:
    sender = '"x, nrcpt=9 (queue active)"@example.com'
    line = f"Nov 22 10:00:00 mx1 postfix/qmgr[1]: 9C37E404B379: from=<{sender}>, size=1, nrcpt=2 (queue active)"
    assert parse_line(line, NOW) == Queued("9C37E404B379", sender, 2)


def test_instances_of_postfix_do_not_share_their_queue_ids() -> None:
    line = "Nov 22 10:00:00 mx1 postfix-out/qmgr[1]: 9C37E404B379: removed"
    assert parse_line(line, NOW) == Removed("postfix-out/9C37E404B379")
    assert parse_line(line.replace("-out", "/slow"), NOW) == Removed("9C37E404B379")


def test_a_stamp_without_a_year_is_the_latest_that_is_not_ahead() -> None:
    january = time.mktime((2026, 1, 3, 12, 0, 0, 0, 0, -1))
    assert time.localtime(unix_time("Dec 31 23:59:59", january))[:6] == (2025, 12, 31, 23, 59, 59)
    assert time.localtime(unix_time("Jan  3 11:00:00", january))[:6] == (2026, 1, 3, 11, 0, 0)
    assert time.localtime(unix_time("Jan  3 13:00:00", january))[:6] == (2026, 1, 3, 13, 0, 0)


def test_the_new_years_first_lines_may_be_ahead_of_our_clock() -> None:
    december = time.mktime((2025, 12, 31, 23, 59, 50, 0, 0, -1))
    assert time.localtime(unix_time("Jan  1 00:00:05", december))[:3] == (2026, 1, 1)


def test_the_29th_of_february_is_that_of_a_leap_year() -> None:
    now = time.mktime((2026, 3, 1, 12, 0, 0, 0, 0, -1))
    assert time.localtime(unix_time("Feb 29 10:00:00", now))[:3] == (2024, 2, 29)


def test_a_stamp_with_a_zone_needs_no_clock() -> None:
    expected = int(datetime(2026, 11, 2, 9, 0, 0, tzinfo=UTC).timestamp())
    for stamp in ("2026-11-02T10:00:00.99+01:00", "2026-11-02T09:00:00Z", "2026-11-02T04:00:00-0500"):
        assert unix_time(stamp, NOW) == expected


@pytest.mark.parametrize("stamp", ["Foo 31 10:00:00", "Feb 31 10:00:00", "Nov 22 25:61:00", "2026-13-01T00:00:00Z", ""])
def test_a_stamp_that_is_none_counts_as_the_present(stamp: str) -> None:
    assert abs(unix_time(stamp, NOW) - NOW) <= 3600


@pytest.mark.parametrize(
    "hostile",
    [
        'to=<"' + 'a"' * 30_000,
        "to=<" + ">, orig_to=<" * 5_000,
        "to=<a@b>, " + "x=1, " * 12_000,
        "to=<a@b>, relay=" + "[" * 60_000,
        "to=<a@b>, relay=none, delay=1, status=sent (" + "(" * 60_000,
        "to=<a@b>, relay=none, status=bounced (host x[1] said: " + " (in reply to " * 5_000 + " command))",
        "to=<a@b>, relay=none, status=bounced (host x[1] said: " + "5" * 60_000,
    ],
)
def test_long_hostile_lines_are_read_in_no_time(hostile: str) -> None:
    started = time.process_time()
    found = parse_line(HEAD + hostile, NOW)
    if isinstance(found, Delivery):
        found.as_object()
    assert time.process_time() - started < 0.2
