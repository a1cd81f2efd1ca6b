"""The private instances: they start, they tell, and they leave nothing behind."""

from __future__ import annotations

import smtplib
import socket
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from postfix.parts import processes_in
from trial.dialogue import parse
from trial.mta import Postfix, TrialError, shipped_milter
from trial.player import play
from trial.ports import can_bind, free_port
from trial.sink import Sink
from trial.waiting import wait_until

MESSAGE = """S: 220
C: EHLO client.test
S: 250 CHUNKING
C: MAIL FROM:<news@sender.test>
S: 250
C: RCPT TO:<user@example.com>
S: 250
C: DATA
S: 354
C: Subject: test
C:
C: text
C: .
S: 250
"""


@pytest.mark.root
def test_postfix_leaves_no_process_and_no_file() -> None:
    mta = Postfix()
    with mta:
        folder = mta.folder
        play(parse(MESSAGE), mta.port)
        assert processes_in(folder)
    assert processes_in(folder) == []
    assert not folder.exists()


@pytest.mark.root
def test_postfix_that_cannot_start_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as taken:
        place = Path(folder)
        place.chmod(0o755)  # for Postfix's user
        monkeypatch.setattr("tempfile.tempdir", folder)
        mta = Postfix(port=taken.getsockname()[1])
        with pytest.raises(TrialError, match="Address already in use"):
            mta.start()
        assert processes_in(place) == []
        assert list(place.iterdir()) == []


def test_without_root_postfix_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(TrialError, match="root"):
        Postfix().start()


def test_without_postfix_installed_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(TrialError, match="apt-get install postfix"):
        Postfix().start()


@pytest.mark.root
def test_without_a_next_hop_mail_is_discarded_inside() -> None:
    with Postfix() as mta:
        play(parse(MESSAGE), mta.port)
        assert mta.wait_for_log(r"to=<user@example\.com>, relay=(\w+), .*status=sent")[1] == "none"


@pytest.mark.root
def test_the_queue_shows_what_waits() -> None:
    with Postfix(relayhost=f"[127.0.0.1]:{free_port()}") as mta:
        play(parse(MESSAGE), mta.port)
        mta.wait_for_log("status=deferred")
        (message,) = wait_until(mta.queue, 10, "the message is in the queue")
        assert message["recipients"][0]["address"] == "user@example.com"


@pytest.mark.root
def test_a_changed_setting_counts_after_reload() -> None:
    with Postfix() as mta:
        mta.set(smtpd_banner="changed")
        mta.reload()

        def banner() -> bytes:
            with socket.create_connection(("127.0.0.1", mta.port), 5) as client:
                return client.recv(100)

        wait_until(lambda: banner() == b"220 changed\r\n", 10, "the new banner")


def test_an_entry_in_braces_keeps_its_own_options() -> None:
    assert shipped_milter("{ unix:/a, default_action=accept }") == "{ unix:/a, default_action=accept }"


def test_the_sink_remembers_envelope_and_content() -> None:
    with Sink() as sink:
        with smtplib.SMTP("127.0.0.1", sink.port) as client:
            client.sendmail(
                "a@b.test", ["c@d.test", "e@f.test"], "X-Two: 1\nX-Two: 2\n\n.dot\n", ["ENVID=x1"], ["NOTIFY=NEVER"]
            )
        (found,) = sink.wait_for(1)
    assert (found.sender, found.recipients) == ("a@b.test", ["c@d.test", "e@f.test"])
    assert "ENVID=x1" in found.sender_arguments
    assert found.recipient_arguments == ["NOTIFY=NEVER", "NOTIFY=NEVER"]
    assert (found.headers("x-two"), found.body) == (["1", "2"], b".dot\r\n")


def test_waiting_ends_with_the_first_true_answer() -> None:
    answers = iter([None, "", "yes"])
    assert wait_until(lambda: next(answers), 5, "an answer") == "yes"


def test_waiting_in_vain_says_for_what() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"0\.05 s: rain"):
        wait_until(lambda: False, 0.05, "rain")
    assert time.monotonic() - started < 5


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not can_bind(taken.getsockname()[1])
    assert can_bind(free_port())
