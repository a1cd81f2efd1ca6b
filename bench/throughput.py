"""SMTP throughput: smtp-source into Postfix without a filter, with Sendgate, the C milter, and its own cdb map.

In: a scale. Out: recipients a second and ratios to plain Postfix, medians of rounds in which all take turns.
Two senders: one that names its campaign, so that Sendgate is done at DATA, and one for which it awaits the header.
Refused: a run of smtp-source that fails raises CalledProcessError.
"""

from __future__ import annotations

import subprocess
import time
from statistics import median

from bench.contenders import Contender, line_up
from bench.load import NAMED_SENDER, PLAIN_SENDER
from bench.report import Report, Target, progress
from bench.scale import Scale
from trial.mta import command_path
from trial.ports import LOOPBACK

YARDSTICK = "plain Postfix"
CONTENDERS = (YARDSTICK, "Sendgate", "C milter", "cdb map")
SHAPES = ((1, NAMED_SENDER), (50, NAMED_SENDER), (1, PLAIN_SENDER), (50, PLAIN_SENDER))
SESSIONS = 8
MESSAGE_OCTETS = 1000
_RUN_SECONDS = 120

Rates = dict[str, list[float]]


def run(scale: Scale) -> Report:
    report = Report(
        "throughput",
        f"SMTP throughput, recipients a second ({SESSIONS} sessions, {scale.list_size:,} entries, "
        f"{scale.rounds} rounds); in brackets the ratio to plain Postfix",
        ("recipients", "campaign", *CONTENDERS),
        notes=[
            f"Senders {NAMED_SENDER}, after which Sendgate is done at DATA, and {PLAIN_SENDER}: it awaits the header.",
            "The sender, Postfix and the milter share the machine; ratios are medians of rounds.",
        ],
    )
    with line_up(scale.list_size, CONTENDERS) as contenders:
        for recipients, sender in SHAPES:
            progress(f"throughput: {recipients} recipients a message from {sender}")
            messages = scale.messages if recipients == 1 else scale.bulk_messages
            _add(report, recipients, sender, _measure(contenders, scale.rounds, messages, recipients, sender))
    return report


def _measure(contenders: list[Contender], rounds: int, messages: int, recipients: int, sender: str) -> Rates:
    rates: Rates = {contender.name: [] for contender in contenders}
    for number in range(rounds + 1):
        first = number % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            seconds = _turn(contender.mta.port, messages, recipients, sender)
            contender.drain()
            if number:  # the first round only warms up
                rates[contender.name].append(messages * recipients / seconds)
    return rates


def _turn(port: int, messages: int, recipients: int, sender: str) -> float:
    """Seconds for all messages. Each recipient is another one (-N), as in a campaign."""
    options = {"-s": SESSIONS, "-m": messages, "-r": recipients, "-l": MESSAGE_OCTETS, "-f": sender}
    arguments = [text for pair in options.items() for text in map(str, pair)]
    target = ["-N", "-t", "user@firm.example.org", f"{LOOPBACK}:{port}"]
    started = time.perf_counter()
    subprocess.run([command_path("smtp-source"), *arguments, *target], check=True, timeout=_RUN_SECONDS)
    return time.perf_counter() - started


def _add(report: Report, recipients: int, sender: str, rates: Rates) -> None:
    ratios = {name: _ratio(rates, name, YARDSTICK) for name in CONTENDERS}
    cells = [f"{median(rates[name]):,.0f} ({ratios[name]:.2f})" for name in CONTENDERS]
    campaign = "in the sender" if sender == NAMED_SENDER else "in a header"
    report.rows.append((str(recipients), campaign, *cells))
    shape = f"{recipients} recipients, campaign {campaign}"
    for name in CONTENDERS:
        report.figures[f"{shape}: {name}, recipients/s"] = median(rates[name])
        report.figures[f"{shape}: {name}, ratio"] = ratios[name]
    if sender == NAMED_SENDER:
        ahead = _ratio(rates, "Sendgate", "C milter")
        report.targets.append(Target(f"{shape}: Sendgate to C milter", ahead, 1.0, at_least=True))


def _ratio(rates: Rates, name: str, other: str) -> float:
    return median(mine / theirs for mine, theirs in zip(rates[name], rates[other], strict=True))
