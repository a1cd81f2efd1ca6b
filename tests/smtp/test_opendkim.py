"""OpenDKIM behind the gate in smtpd_milters: it signs what passed, and never sees who was refused."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendgate.entry import Add
from smtp.arena import change, make_gate
from smtp.script import entry_of
from trial.dialogue import parse
from trial.mta import Postfix
from trial.player import play
from trial.sink import Sink
from trial.waiting import wait_until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One whose socket Postfix's user can reach; pytest's own are root's alone."""
    made = Path(tempfile.mkdtemp(prefix="opendkim-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def signer(folder: Path) -> Iterator[str]:
    """OpenDKIM for example.test, as an entry of smtpd_milters."""
    subprocess.run(["opendkim-genkey", "-b", "1024", "-d", "example.test", "-s", "news", "-D", str(folder)], check=True)
    settings = folder / "opendkim.conf"
    settings.write_text(
        f"Domain example.test\nSelector news\nKeyFile {folder}/news.private\nSocket local:{folder}/socket\n"
        "Mode s\nUMask 000\nUserID root\nRequireSafeKeys no\nSyslog no\n"
    )
    process = subprocess.Popen(["opendkim", "-f", "-x", str(settings)], stderr=(folder / "errors").open("wb"))
    try:
        wait_until((folder / "socket").exists, 10, "OpenDKIM listens")
        yield f"{{ unix:{folder}/socket, default_action=tempfail }}"
    finally:
        process.kill()  # told to end, it would take five seconds
        process.wait(10)


MESSAGE = """S: 220
C: EHLO client.test
S: 250 CHUNKING
C: MAIL FROM:<bounce+spring=1@example.test>
S: 250
C: RCPT TO:<anna@example.com>
S: 250
{more}C: DATA
S: 354
C: From: News <news@example.test>
C: Subject: test
C:
C: text
C: .
S: 250 2.0.0
C: QUIT
S: 221
"""
REFUSED = "C: RCPT TO:<gone@example.com>\nS: 550 5.7.1\n"
DISCARDED = "C: RCPT TO:<office@example.com>\nS: 250\n"


@pytest.mark.parametrize(
    "more", ["", REFUSED, DISCARDED, DISCARDED + REFUSED], ids=["good", "refused", "discarded", "both"]
)
def test_what_passes_is_signed(line: tuple[Postfix, Sink], more: str) -> None:
    mta, sink = line
    before = len(sink.deliveries)
    play(parse(MESSAGE.format(more=more)), mta.port)
    delivery = sink.wait_for(before + 1)[before]
    (signature,) = delivery.headers("DKIM-Signature")
    assert "d=example.test" in signature
    assert "s=news" in signature
    assert delivery.recipients == ["anna@example.com"]


@pytest.fixture(scope="module")
def line(signer: str) -> Iterator[tuple[Postfix, Sink]]:
    """The gate, OpenDKIM behind it, and a sink."""
    gate = make_gate({"milter": {"workers": 1}, "actions": {"role": "discard"}})
    entries = ("hard_bounce gone@example.com", "role office@example.com")
    change(gate, [Add(entry_of(entry)) for entry in entries])
    with gate, Sink() as sink, Postfix([gate.milter, signer], relayhost=f"[127.0.0.1]:{sink.port}") as mta:
        yield mta, sink
