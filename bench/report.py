"""What a bench found: a table for people, figures for machines, and targets that are reached or not.

In: rows and numbers. Out: text on the terminal, JSON. Nothing is refused.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

_FILE_WIDTH = 140
"""Columns of a table that goes into a file or a log instead of onto a terminal."""
_console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _FILE_WIDTH)


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of the design: `value` must be at most `limit`, or at least when `at_least`."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        side = "at least" if self.at_least else "at most"
        return f"{self.what}: {self.value:,.6g}, to reach {side} {self.limit:,.6g}"


@dataclass(slots=True)
class Report:
    """One measure. `columns` and `rows` are the table; `figures` the same as numbers; `notes` what one must know;
    `details` what was found in single cases, a line each."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Print it."""
        table = Table(title=self.title, title_justify="left", title_style="bold")
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        _console.print()
        _console.print(table)
        for note in self.notes:
            _console.print(f"  {note}", style="dim", markup=False)
        for detail in self.details:
            _console.print(f"  {detail}", markup=False)
        for target in self.targets:
            style, word = ("green", "reached") if target.reached else ("bold red", "NOT REACHED")
            _console.print(Text(f"  {target}: ").append(word, style))


def progress(text: str) -> None:
    """Say what goes on, for those who wait."""
    _console.print(text, style="dim", markup=False)


def save(path: Path, reports: list[Report]) -> None:
    """All figures and targets as JSON, by measure."""
    document = {
        report.name: {
            "figures": {name: float(f"{value:.6g}") for name, value in report.figures.items()},
            "targets": {target.what: target.reached for target in report.targets},
        }
        for report in reports
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
