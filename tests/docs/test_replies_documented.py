"""docs/replies.md against the replies that the gate makes."""

from __future__ import annotations

import re
from itertools import product

from docs.pages import code, docs, headings, rows, section
from sendgate.decision import Cause, Decision, Verdict
from sendgate.entry import EVERYWHERE, Found, Reason
from sendgate.reply import reply_to

_ENTRIES = [Found(reason, EVERYWHERE, "default", 0, None, "7f3a9c21") for reason in Reason]
_PAGE = docs("replies.md")


def _made() -> set[tuple[str, str, str]]:
    """All replies there are, whatever the decision."""
    everything = product(Verdict, [None, *Cause], [None, *_ENTRIES])
    replies = [reply_to(Decision(verdict, cause, entry), "<user@example.com>") for verdict, cause, entry in everything]
    return {(reply.code, reply.enhanced, _general(reply.text)) for reply in replies if reply}


def _documented() -> set[tuple[str, str, str]]:
    table = rows(section(_PAGE, "Sendgate's own"))[1:]
    return {(code(row[0])[0], code(row[1])[0], _general(code(row[2])[0])) for row in table}


def _general(text: str) -> str:
    return re.sub(r"suppressed: \w+ \(ref [0-9a-f]{8}\)", "suppressed: REASON (ref REF)", text)


def test_every_reply_is_documented_and_every_documented_reply_is_made() -> None:
    assert len(_made()) > 4
    assert _documented() == _made()


def test_every_reply_has_a_section_that_says_what_to_do() -> None:
    for reply, enhanced, text in _made():
        words = text.partition(": ")[2].partition(",")[0].partition(": ")[0]
        [heading] = [one for one in headings(_PAGE) if one == f"{reply} {enhanced} {words}"]
        told = section(_PAGE, heading)
        assert all(f"**{word}**" in told for word in ("When", "Sender", "Operator")), heading


def test_the_examples_name_reasons_that_exist() -> None:
    named = set(re.findall(r"suppressed: (\w+) \(ref", _PAGE))
    assert named <= {reason.value for reason in Reason}
