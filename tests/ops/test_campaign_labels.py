"""The cap on campaign labels holds over all workers: the first ones seen by anybody, then `other`."""

from __future__ import annotations

from collections import Counter

import pytest

from faults.parts import all_workers_serve, behind_postfix, filled_gate
from trial.dialogue import parse
from trial.gate import Gate
from trial.player import play
from trial.waiting import wait_until

pytestmark = pytest.mark.root
CAP, CAMPAIGNS = 3, 12


def session(campaigns: list[str]) -> str:
    """Each campaign a message of its own; a session of its own has a good chance to come to another worker."""
    text = "S: 220\nC: EHLO client.test\nS: 250 CHUNKING\n"
    for campaign in campaigns:
        text += f"C: MAIL FROM:<bounce+{campaign}@x.test>\nS: 250\nC: RCPT TO:<good@example.com>\nS: 250\n"
        text += "C: RCPT TO:<bad@example.com>\nS: 550\nC: RSET\nS: 250\n"
    return f"{text}C: QUIT\nS: 221\n"


def by_label(gate: Gate) -> Counter[str]:
    found: Counter[str] = Counter()
    for (name, labels), value in gate.metrics().items():
        if name == "sendgate_recipients_total":
            found[dict(labels)["campaign"]] += int(value)
    return found


def test_the_first_three_keep_their_names_and_the_rest_is_other() -> None:
    settings = {"milter": {"workers": 2}, "campaign": {"max_labels": CAP}}
    with filled_gate(settings) as gate, behind_postfix(gate) as mta:
        all_workers_serve(gate)
        names = [f"campaign-{number}" for number in range(CAMPAIGNS)]
        for _ in range(3):
            for name in names:
                play(parse(session([name])), mta.port)
        play(parse(session(names)), mta.port)
        expected = Counter(dict.fromkeys(names[:CAP], 8) | {"other": 8 * (CAMPAIGNS - CAP)})
        wait_until(lambda: by_label(gate) == expected, 10, f"{expected}")
