"""How the demo looks on the screen; colour only on a terminal.

In: what happened. Out: lines for people. Nothing is decided here, and nothing is refused.
"""

from __future__ import annotations

import csv
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trial.dialogue import Dialogue, Expect, Send
from trial.gate import Gate, Sample
from trial.player import Outcome
from trial.ports import LOOPBACK

_out = Console(highlight=False, soft_wrap=True)
_errors = Console(highlight=False, soft_wrap=True, stderr=True)


def note(text: str) -> None:
    _out.print(Text(text, "dim"))


def problem(text: str) -> None:
    _errors.print(Text(text, "bold red"))


def sample(path: Path) -> None:
    """The sample list as a table."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = Table("subject", "reason", "scope", "list", title="The sample list", title_justify="left")
    for row in rows:
        table.add_row(*(Text(row[name]) for name in ("email", "reason", "scope", "list")))
    _out.print(table)


def conversation(dialogue: Dialogue, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Show each step as it happens, with the comments between them as captions, and pass it on."""
    _out.print(Text("\nThe conversation", "bold"))
    lines = dialogue.text.split("\n")
    shown = 0
    for outcome in outcomes:
        for caption in lines[shown : outcome.step.line]:
            if caption.startswith("#"):
                _out.print(Text(caption.removeprefix("# "), "italic dim"))
        shown = outcome.step.line
        _step(outcome)
        yield outcome


def delivered(recipients: list[str]) -> None:
    """Whom the message reached."""
    note(f"\nThe next hop took the message for: {', '.join(recipients)}")


def metrics(samples: Mapping[Sample, float], campaign: str) -> None:
    """The campaign's counters, as Prometheus scrapes them."""
    table = Table("metric", "labels", "value", title=f"Metrics of {campaign}", title_justify="left")
    for (name, labels), value in sorted(samples.items(), key=lambda item: (item[0][0], sorted(item[0][1]))):
        if ("campaign", campaign) in labels and not name.endswith("_created"):
            told = " ".join(f"{key}={text}" for key, text in sorted(labels) if key != "campaign")
            table.add_row(Text(name), Text(told), f"{value:g}")
    _out.print()
    _out.print(table)


def verdict(right: bool) -> None:
    if right:
        _out.print(Text("\nEvery reply was right.", "bold green"))
    else:
        _out.print(Text("\nNot everything was right: see above.", "bold red"))


def by_hand(port: int, gate: Gate) -> None:
    """What to type to go on alone."""
    own = Path(sys.executable).parent / "sendgate"
    program = str(own) if own.exists() else f"{sys.executable} -m sendgate"
    sendgate = f"SENDGATE_CONFIG={shlex.quote(str(gate.config))} {program}"
    url = f"http://{LOOPBACK}:{gate.ops_port}"
    sender = "--from bounce+spring-sale@news.example.com"
    _out.print(Text("\nTry it by hand, in another terminal (nothing leaves this machine):", "bold"))
    for command in (
        f"swaks --server {LOOPBACK}:{port} {sender} --to anna@example.com,gone@example.com",
        f"{sendgate} add you@example.com --reason manual --note 'by hand'",
        f"swaks --server {LOOPBACK}:{port} {sender} --to you@example.com",
        f"{sendgate} explain you@example.com",
        f"{sendgate} remove you@example.com",
        f"curl -s {url}/metrics",
        f"curl -s {url}/readyz",
    ):
        _out.print(f"  {command}", markup=False)
    _out.print(Text("\nCtrl-C ends it, and leaves no process and no file.", "bold"))


def _step(outcome: Outcome) -> None:
    if isinstance(outcome.step, Send):
        _out.print(Text(f"  C: {outcome.step.octets.decode(errors='backslashreplace').rstrip()}", "cyan"))
    if not outcome.said:
        return
    *first, last = outcome.said.split("\n")
    for line in first:
        _out.print(f"  S: {line[:3]}-{line[4:]}", markup=False)
    mark = Text("right", "green") if outcome.right else Text(f"WRONG, {_expected(outcome)}", "bold red")
    _out.print(Text(f"  S: {last}  ").append("-- ").append(mark))


def _expected(outcome: Outcome) -> str:
    step = outcome.step
    if not isinstance(step, Expect):
        return "the connection should be there"
    return f"should match {step.pattern.pattern}" if step.pattern else f"should begin with {' / '.join(step.lines)}"
