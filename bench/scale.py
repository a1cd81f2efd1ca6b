"""How much of everything: `--quick` for a look, the default for figures to quote, `--full` for the whole table.

Out: a `Scale`, in entries, messages and rounds. Each keeps all measures together within a known time on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """list_size: entries of the list that SMTP is measured with; rounds: how often contenders take turns.

    messages: of one recipient, in each turn; bulk_messages: of 50. growth: list sizes, smallest first.
    memory_messages: sent before memory is read. import_sizes: addresses in a file, smallest first.
    propagation_tries: additions and removals at each number of followers. shared_sizes: entries of a shared origin.
    day_lines: of the log of a made-up day.
    """

    list_size: int
    rounds: int
    messages: int
    bulk_messages: int
    growth: tuple[int, ...]
    memory_messages: int
    import_sizes: tuple[int, ...]
    propagation_tries: int
    shared_sizes: tuple[int, ...]
    day_lines: int


QUICK = Scale(100_000, 2, 800, 60, (10_000, 100_000, 300_000), 5_000, (100_000, 300_000), 30, (100_000,), 100_000)
DEFAULT = Scale(
    1_000_000, 5, 2_000, 150, (100_000, 1_000_000, 10_000_000), 100_000, (1_000_000,), 150, (1_000_000,), 500_000
)
FULL = Scale(
    1_000_000,
    9,
    4_000,
    300,
    (100_000, 1_000_000, 10_000_000, 50_000_000),
    100_000,
    (1_000_000, 10_000_000),
    400,
    (1_000_000, 10_000_000),
    3_000_000,
)
