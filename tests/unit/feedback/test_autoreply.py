"""What comes back and is no bounce, and bounces that look like it."""

from __future__ import annotations

import pytest

from sendgate.feedback.mail.autoreply import Kind, is_from_daemon, kind_of
from sendgate.feedback.mail.bouncing import is_bounce, may_be_bounce
from sendgate.feedback.mail.mime import read_message
from sendgate.feedback.mail.report import read_report

PERSON = "From: Anna <anna@example.net>\n"
DAEMON = "From: Mail Delivery Subsystem <MAILER-DAEMON@mx.example.net>\n"


def kind(headers: str) -> Kind:
    return kind_of(read_message(f"{headers}\ntext".encode()))


def bounced(headers: str, text: str) -> bool:
    message = read_message(f"{headers}To: shop@example.com\n\n{text}\n".encode())
    return may_be_bounce(message) and is_bounce(message, read_report(message))


@pytest.mark.parametrize(
    "subject",
    [
        "Out of Office: Spring sale", "Automatic reply: Spring sale", "Auto reply", "AutoReply: hello", "On vacation",
        "Abwesenheitsnotiz: Angebot", "Automatische Antwort: Angebot", "Réponse automatique : Soldes",
        "Respuesta automática: Ofertas", "Resposta automática: Ofertas", "Risposta automatica: Saldi", "Autosvar: Rea",
        "Automatisch antwoord: Uitverkoop", "Автоответ: Скидки", "自動返信: お知らせ", "不在通知", "自动回复: 促销",
    ],
)  # fmt: skip
def test_automatic_replies_are_known_by_their_subject(subject: str) -> None:
    assert kind(f"{PERSON}Subject: {subject}\n") is Kind.REPLY


@pytest.mark.parametrize("header", ["Auto-Submitted: auto-replied", "X-Autoreply: yes", "X-Autorespond: x"])
def test_automatic_replies_are_known_by_their_header(header: str) -> None:
    assert kind(f"{PERSON}Subject: Re: Spring sale\n{header}\n") is Kind.REPLY


@pytest.mark.parametrize("subject", ["Read: Spring sale", "Gelesen: Angebot", "Lu : Soldes", "開封済み: お知らせ"])
def test_receipts_are_known_by_their_subject(subject: str) -> None:
    assert kind(f"{PERSON}Subject: {subject}\n") is Kind.RECEIPT


def test_a_disposition_notification_is_a_receipt_whatever_its_subject() -> None:
    report = "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n"
    assert kind(f"{DAEMON}Subject: failure notice\n{report}") is Kind.RECEIPT


@pytest.mark.parametrize("subject", ["Re: x", "RE[2]: x", "Fwd: x", "AW: x", "TR : x", "[list] Re: x", "回复：x"])
def test_answers_are_known(subject: str) -> None:
    assert kind(f"{PERSON}Subject: {subject}\n") is Kind.ANSWER


def test_mail_of_lists_is_known() -> None:
    assert kind(f"{PERSON}Subject: Hello\nList-Id: <x.example.org>\n") is Kind.LIST


@pytest.mark.parametrize("subject", ["Hello", "Reports for March", "Readiness", "Wartung", "Return of the king"])
def test_ordinary_mail_is_nothing_of_these(subject: str) -> None:
    assert kind(f"{PERSON}Subject: {subject}\n") is Kind.UNKNOWN


@pytest.mark.parametrize(
    "sender",
    [
        "MAILER-DAEMON@mx.example.net", "<>", "MAILER-DAEMON <>", "Mail Delivery System <x@example.net>",
        "postmaster@example.net", "System Administrator <x@example.net>", "MDaemon@a.example", "post_master@a.example",
    ],
)  # fmt: skip
def test_mail_systems_are_known_by_their_name(sender: str) -> None:
    assert is_from_daemon(read_message(f"From: {sender}\n\n".encode()))


@pytest.mark.parametrize(
    "sender", ["anna@example.net", "Daemon Hill <d.hill@a.example>", "Cron Daemon <root@a.example>"]
)
def test_people_are_no_mail_systems(sender: str) -> None:
    assert not is_from_daemon(read_message(f"From: {sender}\n\n".encode()))


def test_a_mail_system_and_its_words_make_a_bounce() -> None:
    assert bounced(f"{DAEMON}Subject: hello\n", "Your message could not be delivered.")
    assert bounced(f"{DAEMON}Subject: Undelivered Mail\n", "see below")
    sender_is_nobody = "Return-Path: <>\nFrom: x@example.net\nSubject: failure notice\n"
    assert bounced(sender_is_nobody, "I wasn't able to deliver your message.")
    assert not bounced(sender_is_nobody, "see below")


def test_a_mail_system_may_write_of_other_things() -> None:
    assert not bounced(f"{DAEMON}Subject: Maintenance on Sunday\n", "The server will be away for an hour.")
    assert not bounced(f"{DAEMON}Subject: Postfix SMTP server: errors from x\n", "550 5.1.1 user unknown")


def test_words_alone_never_make_a_bounce() -> None:
    words = "Your message could not be delivered: user unknown."
    assert not bounced(f"{PERSON}Subject: Undelivered Mail Returned to Sender\n", words)
    assert not bounced(f"{PERSON}Auto-Submitted: auto-generated\nSubject: Mail delivery failed\n", words)
    assert not bounced("From: no-reply@shop.example\nAuto-Submitted: auto-generated\nSubject: Delivery failed\n", words)


def test_a_message_of_ours_that_comes_back_counts_as_a_sign() -> None:
    words = "--b\nContent-Type: text/plain\n\nCould not be delivered.\n"
    returned = words + "--b\nContent-Type: message/rfc822\n\nFrom: {}\n\nx\n--b--"
    head = "From: no-reply@example.net\nSubject: Mail delivery failed\nContent-Type: multipart/mixed; boundary=b\n"
    assert bounced(head, returned.format("shop@example.com"))
    assert not bounced(head, returned.format("another@example.org"))


def test_a_list_may_pass_a_bounce_on() -> None:
    assert bounced(
        f"{DAEMON}Subject: failure notice\nList-Id: <x.example.org>\n", "I wasn't able to deliver your message."
    )
