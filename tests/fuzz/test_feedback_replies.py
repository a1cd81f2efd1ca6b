"""Whatever a server answers: it is judged, within a bounded time, and a temporary answer is never hard."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.mangled import mangled, within
from sendgate.decision import Cause, Decision, Verdict
from sendgate.entry import EVERYWHERE, Found, Reason
from sendgate.feedback.classify import classify, codes_of, is_own_refusal
from sendgate.feedback.event import Answer, EventClass, Phase
from sendgate.feedback.rules import load_rules
from sendgate.reply import reply_to

_RULES = load_rules(None)
_SEEDS = [
    b"550 5.1.1 <a@example.com>: Recipient address rejected: User unknown in local recipient table",
    b"550-5.1.1 The email account that you tried to reach does not exist.\r\n550 5.1.1 - gsmtp",
    b"552 5.2.2 mailbox full",
    b"450 4.7.1 <a@example.com>: Recipient address rejected: Greylisted",
    b"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.example",
    b"421 too many connections",
    b"host mx.example[192.0.2.1] said: 550 host mx2.example[192.0.2.2] said: 550 #5.1.1 no such user",
    "550 Benutzer unbekannt; utilisateur inconnu; пользователь не найден; 用户不存在; 宛先不明".encode(),
]
_PIECES = [
    b"550", b"450", b"421", b"5.1.1", b"4.2.2", b"5.7.1", b"#5.1.1", b"(#5.1.1)", b"550-", b"550 ", b" said: ",
    b"said: 550 ", b"user unknown", b"does not exist", b"mailbox full", b"blocked", b"spam", b"<", b">", b"@",
    b"a@example.com", b"\r\n", b"=\r\n", b"=20", b"\xff", b"\xc3", b"\xe3\x80\x80", b"\0",
    b"(in reply to RCPT TO command)", b"(in reply to MAIL FROM", b"recipient suppressed: hard_bounce (ref 12345678)",
    b"999", b"0.0.0", b"5.999.999", b"\xd9\xa5\xd9\xa5\xd9\xa0",
]  # fmt: skip
_TEXTS = mangled(_SEEDS, _PIECES).map(lambda text: text.decode(errors="surrogateescape")) | st.text()
_CODES = st.sampled_from(["", "550", "450", "421", "552", "250", "999", "abc", "٥٥٠"])
_ENHANCED = st.sampled_from(["", "5.1.1", "4.2.2", "5.7.1", "5.0.0", "2.0.0", "5.999.999", "x"])


@given(_TEXTS, _CODES, _ENHANCED, st.sampled_from(Phase), st.booleans())
@example("", "", "", Phase.UNKNOWN, False)
def test_any_answer_is_judged(reply: str, code: str, enhanced: str, phase: Phase, deferred: bool) -> None:
    verdict = classify(Answer(reply, code, enhanced, phase, deferred), _RULES)
    assert verdict.because
    assert verdict.event_class not in (EventClass.COMPLAINT, EventClass.NONE)
    if deferred or code.startswith("4") or phase in (Phase.CONNECT, Phase.HELO, Phase.MAIL):
        assert verdict.event_class is not EventClass.HARD


@given(_TEXTS)
def test_any_text_has_codes_or_none(text: str) -> None:
    code, enhanced = codes_of(text)
    assert code == "" or (len(code) == 3 and code.isascii() and code.isdigit())
    assert enhanced == "" or all(part.isascii() and part.isdigit() for part in enhanced.split("."))


@given(st.text(max_size=300), st.sampled_from(Reason), st.sampled_from([Verdict.REJECT, Verdict.TEMPFAIL]))
def test_our_own_refusal_is_known_as_ours_whoever_quotes_it(recipient: str, reason: Reason, verdict: Verdict) -> None:
    found = Found(reason, EVERYWHERE, "default", 0, None, "1a2b3c4d")
    reply = reply_to(Decision(verdict, Cause.ENTRY, found), recipient)
    assert is_own_refusal(f"host gate.example[192.0.2.1] said: {reply} (in reply to RCPT TO command)")


_MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "repeated",
    ["a", " ", "5", "5.", "550 ", "550-", "550-5.1.1 ", "5.1.1 ", "#5.1.1", "(", "<", "@", "a@", "a@b.c ", "-", "=\r\n",
     "=20", "said: ", "said: 550 ", "user ", "unknown ", "no such ", "user unknown ", "mailbox ", "mailbox is ", "not ",
     "does not exist ", "blocked ", "in reply to ", "recipient suppressed: ", "host a[b] said: 550 ", "e\u0301", "ﷺ",
     "\u3000", "不", "é", "\udcff"],
)  # fmt: skip
def test_an_answer_of_a_megabyte_takes_no_time(repeated: str) -> None:
    text = repeated * (_MEGABYTE // len(repeated))
    with within():
        for reply in (text, "550 5.1.1 " + text, text + " user unknown"):
            classify(Answer(reply), _RULES)
            codes_of(reply)
            is_own_refusal(reply)
