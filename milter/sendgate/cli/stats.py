"""`sendgate stats` and `sendgate lists`: what is in the store.

In: nothing but the settings. Out: counts. Expired entries count until they are swept.
"""

from __future__ import annotations

from collections import Counter

import typer

from sendgate.cli.options import ConfigOption, JsonOption, settings_of
from sendgate.cli.output import print_json, print_pairs, print_table
from sendgate.cli.problems import Exit
from sendgate.cli.stores import open_for_reading
from sendgate.entry import PRECEDENCE, Reason
from sendgate.store.record import Label


def stats(context: typer.Context, as_json: JsonOption = False, config: ConfigOption = None) -> int:
    """Count the entries by reason, list and kind of subject, and measure the store."""
    with open_for_reading(settings_of(context, config)) as origin:
        counts, kinds, position, size = origin.counts(), origin.kinds(), origin.position(), origin.size()
    entries = sum(counts.values())
    answer = {
        "entries": entries,
        "reasons": _by_reason(counts),
        "lists": dict(sorted(_by_list(counts).items())),
        "kinds": {kind.name.lower(): count for kind, count in kinds.items()},
        "position": position,
        "octets": size,
        "octets_per_entry": round(size / entries, 1) if entries else None,
    }
    if as_json:
        print_json(answer)
        return Exit.YES
    for group in ("reasons", "lists", "kinds"):
        part = answer.pop(group)
        assert isinstance(part, dict)
        print(f"{group}:")
        print_pairs(part.items(), indent=2)
    print_pairs((name.replace("_", " "), "-" if value is None else value) for name, value in answer.items())
    return Exit.YES


def lists(context: typer.Context, as_json: JsonOption = False, config: ConfigOption = None) -> int:
    """Name the lists, each with its entries by reason."""
    with open_for_reading(settings_of(context, config)) as origin:
        counts = origin.counts()
    names = sorted({label.list for label in counts})
    answer = {name: _by_reason({label: n for label, n in counts.items() if label.list == name}) for name in names}
    if as_json:
        print_json({name: {"entries": sum(part.values()), "reasons": part} for name, part in answer.items()})
        return Exit.YES
    rows = [
        (name, f"{sum(part.values()):,}", ", ".join(f"{reason} {count:,}" for reason, count in part.items()))
        for name, part in answer.items()
    ]
    print_table([("list", "entries", "by reason"), *rows])
    return Exit.YES


def _by_reason(counts: dict[Label, int]) -> dict[str, int]:
    """Entries by reason, the strongest first."""
    totals: Counter[Reason] = Counter()
    for label, count in counts.items():
        totals[label.reason] += count
    return {reason.value: totals[reason] for reason in sorted(totals, key=PRECEDENCE.__getitem__)}


def _by_list(counts: dict[Label, int]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for label, count in counts.items():
        totals[label.list] += count
    return totals
